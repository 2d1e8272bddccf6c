# 首次运行。

welcome-title = 欢迎
welcome-sentence = 只需四步，发到你自己域名的邮件就会进入你现有的邮箱。
welcome-step-domain = 域名
welcome-step-alias = 第一个地址
welcome-step-account = 发信
welcome-step-records = DNS 记录
welcome-domain = 你的域名
welcome-domain-hint = 例如 example.com：你拥有并且可以修改其 DNS 记录的名称。
welcome-next = 继续
welcome-alias = 你的地址
welcome-target-hint = 你平时阅读的邮箱，例如 you@gmail.com。
welcome-account-words = 如果还想用 { $address } 发信（在 Gmail 或其他邮件程序里），需要一个密码。
welcome-account-make = 生成密码
welcome-account-skip = 以后再说
welcome-records-words = 现在要让全世界知道，发到 { $domain } 的邮件投递到这里：请发布它的 DNS 记录。
welcome-records = 显示记录
welcome-owner = 这个账号是管理员：你也可以用这个密码登录本页面。
