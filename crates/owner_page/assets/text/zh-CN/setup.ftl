# 设置：记录、端口、双向测试邮件、Gmail 表单。

setup-sentence-done =
    { $n ->
       *[other] DNS 中已有全部 { $n } 条必需的记录。
    }
setup-sentence-open = DNS 中已有 { $n } 条必需记录中的 { $right } 条。
setup-sentence-unknown =
    { $n ->
       *[other] 需要 { $n } 条记录。请先发布，再检查。
    }
setup-records = 1. DNS 记录
setup-ports = 2. 端口和名称
setup-test = 3. 收发测试邮件
setup-gmail = 4. 在 Gmail 里用你的地址发信

setup-asked = 上次查询 DNS：{ $when }。
setup-not-asked = 还没有查询过 DNS。
setup-check = 再次检查
setup-zone = 下载区域文件
setup-needed = 现在必需
setup-better = 建议添加
setup-programs = 供邮件程序使用
setup-hoster = 由提供地址的主机商设置
setup-all-right =
    { $n ->
       *[other] { $n } 条全部正确
    }
setup-some-right = { $n } 条中 { $right } 条正确
setup-name = 名称
setup-value = 值
setup-in-zone = 位于区域 { $zone }
setup-found = DNS 现有
setup-problem = 问题

setup-checked = 服务器上次自检：{ $when }。
setup-checking = 正在检查，请一分钟后再看。
setup-no-checks = 服务器还没有自检过。点上面的“再次检查”即可开始。

setup-no-alias = { $domain } 还没有别名。先添加一个用来测试。
setup-in = 从别处发给你
setup-in-words = 用另一个邮箱写信到这个地址，它应当到达背后的邮箱。
setup-in-came = 最近一封来自 { $from }，{ $when }。
setup-in-waiting = 还没有收到任何邮件。
setup-out = 从这里发给你
setup-out-words = 服务器写信到 { $address }。请查看背后的邮箱，包括垃圾邮件夹。
setup-out-button = 发送测试邮件
setup-out-sent = 发往 { $address } 的测试邮件已上路。以下是它的行程：

setup-gmail-words = Gmail 可以经由这台服务器用你的地址发信。把这些值填进它的表单。
setup-gmail-show = 显示
setup-gmail-path = Gmail：设置 → 查看所有设置 → 账号和导入 → 用这个地址发送邮件 → 添加其他电子邮件地址。保持勾选“视为别名”。
setup-gmail-address = 电子邮件地址
setup-gmail-server = SMTP 服务器
setup-gmail-port = 端口、加密
setup-gmail-user = 用户名
setup-gmail-password = 密码
setup-gmail-password-words = 该账号的任一密码。
setup-gmail-password-new = 为 Gmail 新建一个
setup-gmail-came = Gmail 的验证码（{ $when }）：
setup-gmail-waiting = Gmail 的验证码一到就会显示在这里。
