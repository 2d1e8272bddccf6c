# The first run.

welcome-title = Welcome
welcome-sentence = Four steps, and mail to your own domain arrives in the mailbox that you have.
welcome-step-domain = Domain
welcome-step-alias = First address
welcome-step-account = Sending
welcome-step-records = DNS records
welcome-domain = Your domain
welcome-domain-hint = Such as example.com: a name that you own and whose DNS records you can change.
welcome-next = Go on
welcome-alias = Your address
welcome-target-hint = The mailbox that you read, such as you@gmail.com.
welcome-account-words = To send as { $address } too, from Gmail or another mail program, it needs a password.
welcome-account-make = Make a password
welcome-account-skip = Not now
welcome-records-words = Now the rest of the world must learn that mail to { $domain } comes here: publish its DNS records.
welcome-records = Show the records
welcome-owner = The account is an owner: with this password you log in to this page, too.
