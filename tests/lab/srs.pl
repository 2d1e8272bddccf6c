# Mail::SRS for the tests: lines "forward ADDRESS" and "reverse ADDRESS"; the answer is a line each. Arguments: secret, domain.
use strict;
use warnings;
use Mail::SRS;

my ($secret, $domain) = @ARGV;
my $srs = Mail::SRS->new(Secret => $secret);
while (my $line = <STDIN>) {
    chomp $line;
    my ($what, $address) = split / /, $line, 2;
    my $answer = eval { $what eq 'forward' ? $srs->forward($address, $domain) : $srs->reverse($address) };
    print defined $answer ? "$answer\n" : "refused\n";
}
