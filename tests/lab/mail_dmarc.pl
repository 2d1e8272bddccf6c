# Mail::DMARC for the tests: `read` takes an aggregate report and writes what it understood as JSON; `write` writes a report of its own,
# `letter` the mail with it that a receiver would send.
use strict;
use warnings;

use IO::Compress::Gzip qw(gzip);
use JSON::PP;
use Mail::DMARC::Policy;
use Mail::DMARC::Report;
use Mail::DMARC::Report::Aggregate::Record;
use Mail::DMARC::Report::Receive;
use Mail::DMARC::Report::Send::SMTP;

sub understood {
    my $receive = Mail::DMARC::Report::Receive->new;
    no warnings 'redefine';
    local *Mail::DMARC::Report::save_aggregate = sub { 1 };
    $receive->handle_body( join '', <STDIN> );
    my $report = $receive->report->aggregate;
    my $meta   = $report->metadata;
    my @rows   = map {
        my $row = $_;
        my @reasons = map { { %$_ } } @{ $row->row->policy_evaluated->reason || [] };
        {   source      => $row->row->source_ip,
            count       => 0 + $row->row->count,
            disposition => $row->row->policy_evaluated->disposition,
            dkim        => $row->row->policy_evaluated->dkim,
            spf         => $row->row->policy_evaluated->spf,
            header_from => $row->identifiers->header_from,
            reasons     => [ map { $_->{type} } @reasons ],
            signatures  => [ map { "$_->{domain} $_->{selector} $_->{result}" } @{ $row->auth_results->dkim } ],
            checks      => [ map { "$_->{domain} $_->{result}" } @{ $row->auth_results->spf } ],
        }
    } @{ $report->record };
    print encode_json(
        {   org_name  => $meta->org_name,
            email     => $meta->email,
            report_id => $meta->report_id,
            begin     => 0 + $meta->begin,
            end       => 0 + $meta->end,
            domain    => $report->policy_published->domain,
            p         => $report->policy_published->p,
            rows      => \@rows,
        }
    );
}

sub made {
    my $report = Mail::DMARC::Report->new->aggregate;
    my %meta   = ( org_name => 'Art & Farm', email => 'no-reply@theartfarm.test', report_id => '42.art', begin => 1763856000, end => 1763942399 );
    $report->metadata->$_( $meta{$_} ) for keys %meta;
    $report->metadata->uuid('42.art');
    my $policy = Mail::DMARC::Policy->new('v=DMARC1; p=quarantine; aspf=s; rua=mailto:dmarc@example.test');
    $policy->apply_defaults;
    $policy->domain('example.test');
    $report->policy_published($policy);
    my $record = Mail::DMARC::Report::Aggregate::Record->new;
    $record->row( { source_ip => '2001:db8::9', count => 17,
            policy_evaluated => { disposition => 'quarantine', dkim => 'fail', spf => 'fail', reason => [ { type => 'mailing_list', comment => 'a <list>' } ] } } );
    $record->identifiers( { envelope_to => 'theartfarm.test', envelope_from => 'list.test', header_from => 'example.test' } );
    $record->auth_results(
        {   dkim => [ { domain => 'list.test', selector => 's1', result => 'pass' } ],
            spf  => [ { domain => 'list.test', scope => 'mfrom', result => 'pass' } ],
        }
    );
    $report->record($record);
    return $report;
}

sub letter {
    my $report = made();
    my ( $xml, $packed ) = ( $report->as_xml );
    gzip( \$xml, \$packed ) or die;
    my $sender = Mail::DMARC::Report::Send::SMTP->new;
    my $config = $sender->config;
    $config->{organization} = { domain => 'receiver.test', org_name => 'Art & Farm', email => 'noreply@receiver.test' };
    print $sender->assemble_message_object( \$report, 'dmarc@example.test', $packed )->as_string;
}

if    ( $ARGV[0] eq 'read' )   { understood() }
elsif ( $ARGV[0] eq 'letter' ) { letter() }
else                           { print made()->as_xml }
