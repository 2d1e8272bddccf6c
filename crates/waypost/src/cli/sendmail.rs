//! `waypost sendmail` for help and man page; its own words are read by `sendmail::arguments`, since clap knows no `-oi` and no `-fADDR`.

use clap::Args;

/// Hand over a message from standard input, as sendmail does: for cron, git send-email, mutt, PHP.
#[derive(Debug, Args)]
#[command(
    after_help = "Options, as sendmail has them; those that are not listed are taken and mean nothing (-oem, -odb, -B8BITMIME, -G, -n):
  -t            send to the addresses in To, Cc and Bcc; Bcc is taken out
  -i, -oi       a line with nothing but a dot does not end the message
  -f ADDRESS    the envelope's sender (also -r); '<>' for none
  -F NAME       the name in a From field that is added
  -N WHEN       when to report: never, or success,failure,delay
  -R WHAT       what a report returns: full or hdrs
  -V ID         your own name for the message, told in reports
  -bs           SMTP on standard input and output
  -bp           list the queue, as mailq does
  -q            try now what waits
  -v            say under which id it is queued
  -C FILE       the configuration file
  --            what follows is a recipient

Exit codes: 0 queued, 64 usage, 65 the message cannot be taken as it is, 67 no such recipient, 69 refused,
75 try again later, 77 the user may not send so.

Called as sendmail, mailq or newaliases (by a link) it is that program:
  ln -s /usr/local/bin/waypost /usr/sbin/sendmail

Examples:
  printf 'Subject: backup done\\n\\nall well\\n' | waypost sendmail root
  waypost sendmail -t -i -f me@example.com < message
  git send-email --sendmail-cmd='waypost sendmail -i' --to list@example.org 0001-fix.patch"
)]
pub struct Sendmail {
    /// Options and recipients.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS|RECIPIENTS")]
    pub arguments: Vec<String>,
}
