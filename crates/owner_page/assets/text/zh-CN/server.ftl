# 服务器：当前生效的内容。

server-sentence = { $host } 正在运行 Waypost { $version }。
server-little-space = 磁盘快满了。磁盘写满会拒收所有邮件；请清理空间，或迁移数据目录。
server-machine = 服务器
server-name = 名称
server-forwarding = 转发所用域名
server-version = 版本
server-disk = 磁盘
server-disk-free = 剩余 { $free }，共 { $all }
server-databases = 数据库
server-listeners = 监听
server-listener-mx = 其他服务器来信
server-listener-submission = 发信（STARTTLS）
server-listener-submissions = 发信（TLS）
server-listener-certificate = 发信（客户端证书）
server-listener-http = HTTP
server-listener-https = HTTPS
server-nodes = 节点
server-nodes-words = 这些服务器共用一个数据库。已停收的节点对新邮件回答“请稍后再试”，完成已经开始的投递，其余的交给其他节点。
server-node-name = 节点
server-node-this = 本机
server-node-started = 启动于
server-node-seen = 最近出现
server-node-claimed = 正在投递
server-node-change = 操作
server-node-active = 运行中
server-node-drained = 已停收
server-node-stopped = 已停止
server-node-stopped-drained = 已停止，且停收
server-node-drain = 停收
server-node-resume = 恢复
server-node-now-drained = 节点“{ $name }”将在 5 秒内不再接收新邮件，重启后也是如此，直到恢复为止。
server-node-now-resumed = 节点“{ $name }”重新接收新邮件。
server-certificates = 证书
server-no-certificate = 没有证书：邮件程序会拒绝连接。
server-no-certificate-next = 在配置的 [acme] 下设置 enabled = true，然后重新读取。
server-certificate-names = 名称
server-certificate-issuer = 签发者
server-certificate-until = 有效期至
server-expired = 已过期
server-self-signed = 自签名
server-days-left =
    { $n ->
       *[other] 还有 { $n } 天
    }
server-renew = 续期
server-renewing = 签发机构仍在处理，请一分钟后再看。
server-order-failed = 签发机构拒绝了 { $name } 的申请：
server-order-next = 下次尝试：{ $when }。
server-left-out =
    { $n ->
       *[other] 有 { $n } 个名称没有指向这里，已略过
    }
server-backup = 备份
server-backup-words = 所有内容都在 { $dir } 和 { $file } 里。
server-backup-shared-words = 邮件、账户和别名在 [store] 指定的数据库里；证书和密码密钥在 { $dir } 里，配置在 { $file } 里。
server-backup-shared-how = “waypost backup”可在服务器运行时复制全部内容。备份里有私钥，请像保护服务器一样保护它。
server-backup-how = 请在服务器停止时复制这两处，或在运行时做文件系统快照。备份里有私钥，请像保护服务器一样保护它。
server-settings = 生效的设置
server-settings-words =
    { $n ->
       *[other] { $file } 设置了 { $n } 个选项，其余为默认值。
    }
server-settings-all = 显示全部及其含义
server-settings-file = 只显示文件中设置的
server-settings-top = 文件开头
server-setting-none = 未设置
server-setting-default = 默认
server-reload = 重新读取文件
server-changes = 变更记录
server-no-changes = 自有记录以来没有任何变更。
server-change-when = 时间
server-change-what = 内容
server-change-who = 操作者
server-tokens = API 令牌
server-tokens-words = 供通过 HTTPS 使用 API 的程序，以及会生成别名的密码管理器使用。
server-no-tokens = 还没有程序拥有令牌。
server-token = 令牌
server-token-new = 新令牌
server-token-name = 名称
server-token-hint = 使用它的程序或设备，例如 Bitwarden。
server-token-scopes = 权限
server-token-until = 到期：{ $when }
server-token-make = 生成令牌
server-token-made = 已生成。令牌只显示这一次：
server-token-removed = 令牌“{ $name }”已删除，使用它的程序会被拒绝。
server-scope-aliases = 查看和修改别名
server-scope-read = 读取除机密外的一切
server-scope-queue = 查看和修改队列及扣留的邮件
server-scope-admin = 执行一切操作
