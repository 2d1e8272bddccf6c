# 入口：登录、第二步验证、一次性链接、邀请、访客自己的登录。

login-title = 登录
login-address = 地址
login-password = 密码
login-password-hint = 此账户发送邮件所用的任一密码。
login-submit = 登录
login-first = 第一次来？在服务器上运行 { $command } 可得到登录链接。
login-wrong = 地址或密码错误，或此账户不得登录。
login-too-many = 失败次数过多，请十分钟后再试。
login-busy = 服务器正在处理大量登录，请一分钟后再试。

code-title = 第二步验证
code-code = 验证码
code-hint = 身份验证器应用中的六位数字，或一个恢复码。
code-lost = 若应用和恢复码都已丢失，请在服务器上关闭第二步验证：{ $command }
code-wrong = 验证码错误或已使用过，请等待下一个。

link-title = 一次性链接
link-who = 此链接将登录 { $login }，只能使用一次。
link-operator = 管理员（用于设置此服务器）
link-open = 打开页面
link-ended = 此链接已使用过或已过期。
link-new = 在服务器上获取新链接：{ $command }

invitation-title = 欢迎
invitation-who = 您受邀使用 { $login }，请设置密码。
invitation-choose = 选择密码
invitation-password-hint = 至少 8 个字符。邮件程序会记住它，因此可以很长。
invitation-again = 再次输入
invitation-set = 使用此密码
invitation-or = 或由服务器生成
invitation-generate-hint = 随机密码最安全。它只显示一次：请复制到您的邮件程序。
invitation-generate = 生成密码
invitation-differ = 两次输入的密码不同。
invitation-ended = 此邀请已使用过或已过期。
invitation-new = 请向发送者索取新的邀请。
invitation-done = 您的账户已可使用
invitation-works = 您现在可以发送邮件。
invitation-program = 邮件程序设置
invitation-program-hint = 多数程序仅凭地址即可找到除密码外的一切。若程序询问，请为外发邮件填写：
invitation-once = （仅此次显示）
invitation-yours = 您所选择的密码
invitation-server = 服务器（SMTP）
invitation-port = 端口
invitation-port-tls = { $port }，SSL/TLS
invitation-port-starttls = { $port }，STARTTLS
invitation-page = 查看您的别名和密码

confirm-title = 还是您本人吗？
confirm-why = 您要更改谁可以登录。距离上次登录已有一段时间，请再次输入您的一个密码。
confirm-submit = 确认
confirm-passkey = 使用通行密钥确认
confirm-wrong = 这不是此账户的任何一个密码。
confirm-operator = 此更改需要重新登录。请在服务器上获取新链接：{ $command }

account-title = 您的登录
account-second-step = 第二步验证
account-on = 已开启
account-recovery-left =
    { $n ->
        [0] 恢复码已用完：请重新设置。
       *[other] 还剩 { $n } 个恢复码。
    }
account-off = 目前仅凭密码即可打开此页面。若使用手机上的身份验证器应用，密码被盗也不足以登录。
account-set-up = 设置
account-remove = 关闭
account-no-app = 没有通行密钥的设备也可以使用身份验证器应用。
passkey-title = 通行密钥
passkey-hint = 手机、电脑或安全密钥上的通行密钥可以打开此页面，有无密码皆可。它无法被猜到，其他网站也无法索取。
passkey-name = 名称
passkey-name-hint = 便于在列表中辨认，例如“手机”“蓝色密钥”。
passkey-add = 添加通行密钥
passkey-added = 通行密钥已添加
passkey-made = 添加时间
passkey-unused = 尚未使用
passkey-remove = 移除
passkey-removed = 通行密钥已移除，请在设备上也将其删除。
passkey-log-in = 使用通行密钥登录
passkey-again = 重试
passkey-no-answer = 没有应答。此设备上有本页面的通行密钥吗？请重试或换一种方式。
passkey-needs-script = 通行密钥需要 JavaScript。
passkey-needs-name = 通行密钥只能用于名称：请以 { $host } 打开此页面，或通过 SSH 隧道以 localhost 打开。
passkey-late = 此页面打开过久，或已使用过。
passkey-wrong = 通行密钥未被接受。
passkey-too-many = 此通行密钥已存在，或数量过多。
passkey-copied = 此通行密钥被拒绝：似乎有另一台设备持有其副本。请以其他方式登录，移除它，再添加新的。
account-sessions = 已登录的位置
account-browser = 浏览器
account-address = 登录时的地址
account-used = 上次使用
account-end = 退出
account-this = 当前
account-end-others = 退出其他所有位置
account-ended =
    { $n ->
        [0] 其他位置没有登录。
       *[other] 已退出 { $n } 处登录。
    }

second-step-title = 设置第二步验证
second-step-scan = 1. 用身份验证器应用扫描
second-step-scan-hint = 任何基于时间的验证码应用都可以：Aegis、2FAS、Google Authenticator 或密码管理器。
second-step-picture = 含有下方密钥的二维码
second-step-secret = 或输入密钥：
second-step-confirm = 2. 输入应用显示的验证码
second-step-turn-on = 开启
second-step-on = 第二步验证已开启
second-step-recovery = 恢复码
second-step-recovery-hint = 手机丢失时，每个恢复码可代替验证码使用一次。请打印或存入密码管理器：它们不会再次显示。
second-step-done = 我已保存
second-step-removed = 第二步验证已关闭，仅凭密码即可打开此页面。

entrance-refused = 未被接受
entrance-foreign = 此表单不是由本服务器的页面发送的。
entrance-foreign-hint = 请打开页面本身后重试。程序请使用带令牌的 API。
entrance-token = 此表单已过期，或不属于您。
entrance-token-hint = 请返回、重新加载页面，然后重复操作。
entrance-not-there = 这里没有可供您查看的内容。
