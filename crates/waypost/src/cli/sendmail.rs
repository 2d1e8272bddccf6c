//! Help and man page of `waypost sendmail`; `commands/sendmail/arguments.rs` parses its arguments, because clap cannot parse `-oi` and `-fADDR`.

use clap::Args;

/// Send a message from standard input, as sendmail does: for cron, git send-email, mutt, PHP.
#[derive(Debug, Args)]
#[command(after_help = "Options of sendmail; others are accepted and ignored (-oem, -odb, -B8BITMIME, -G, -n):
  -t            send to the addresses in To, Cc and Bcc, and remove Bcc
  -i, -oi       a line with only a dot does not end the message
  -f ADDRESS    the envelope sender (also -r); '<>' for none
  -F NAME       the sender's name in an added From field
  -N WHEN       when to send a DSN: never, or success,failure,delay
  -R WHAT       what a DSN returns: full or hdrs
  -V ID         your own id for the message (ENVID), returned in DSNs
  -bs           SMTP on standard input and output
  -bp           list the queue, as mailq does
  -q            retry the queue now
  -v            print the queue id
  -C FILE       the configuration file
  --            only recipients follow

Exit codes: 0 queued, 64 usage error, 65 invalid message, 67 no such recipient, 69 refused, 75 try again later,
77 the user may not send this.

Started as sendmail, mailq or newaliases (through a link), it acts as that program:
  ln -s /usr/local/bin/waypost /usr/sbin/sendmail

Examples:
  printf 'Subject: backup done\\n\\nall well\\n' | waypost sendmail root
  waypost sendmail -t -i -f me@example.com < message
  git send-email --sendmail-cmd='waypost sendmail -i' --to list@example.org 0001-fix.patch")]
pub struct SendmailArgs {
    /// Options and recipients.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS|RECIPIENTS")]
    pub arguments: Vec<String>,
}
