# 其他服务器的报告。

reports-sentence-none = 还没有报告：其他服务器每天发送一次，且只发给 DMARC 记录要求报告的域名。
reports-sentence-good =
    { $n ->
       *[other] 一切正常：以你的名义发出的 { $n } 封邮件都是你的。
    }
reports-sentence-foreign =
    { $n ->
       *[other] 你自己的邮件都通过了。另有 { $n } 封以你的名义的邮件来自别处。
    }
reports-sentence-failing =
    { $n ->
       *[other] 本服务器有 { $n } 封邮件在别处没有通过验证。
    }
reports-period = 时间范围
reports-days = { $n } 天
reports-cut = 报告太多，无法全部汇总；数字偏小。
reports-latest = 最新的报告
reports-no-dmarc = 这段时间没有 DMARC 报告。
reports-ours = 你的，通过
reports-ours-failing = 你的，未通过
reports-forward = 转发的
reports-foreign = 来自别处
reports-sources = 未通过的来源
reports-sources-words = 来自别处的要么是冒名者，要么是你在用却没有设置好的服务。
reports-source = 来源
reports-whose = 归属
reports-class-ours = 本服务器
reports-class-foreign = 别处
reports-messages = 邮件数
reports-why = 原因
reports-seen = 最近出现
reports-more =
    { $n ->
       *[other] 另有 { $n } 个来源
    }
reports-policy-final = 以你的名义而未通过验证的邮件会被拒收，无需再做什么。
reports-policy-mend = 请先解决未通过的问题。
reports-policy-mend-words = 若改用更严的策略，收件方会拒收你的邮件。
reports-policy-wait = 目前你的邮件都通过了。积累一周的报告后，策略可以改为 { $policy }。
reports-policy-next = 你的邮件都通过了。下一步：策略 { $policy }
reports-policy-quarantine = 之后，收件方会把以你的名义而未通过验证的邮件放进垃圾邮件夹。请用下面的记录替换现有记录：
reports-policy-reject = 之后，收件方会拒收以你的名义而未通过验证的邮件。请用下面的记录替换现有记录：
reports-policy-foreign =
    { $n ->
       *[other] 有 { $n } 封来自别处：请确认其中没有你在用的服务。
    }
reports-policy-file = 为了让服务器也按此检查，请在配置的 { $section } 下设置 { $line }。
reports-tls = 加密
reports-no-tls = 这段时间没有 TLS 报告。
reports-tls-sentence =
    { $bad ->
        [0] 其他服务器的 { $good } 次连接都正确加密。
       *[other] 其他服务器的 { $good } 次连接正确加密，{ $bad } 次没有。
    }
reports-tls-result = 失败
reports-tls-host = 主机
reports-tls-sessions = 连接数
reports-from = 报告方
reports-kind = 种类
reports-about = 时间范围
reports-one = 报告 { $id }
reports-all = 全部报告
reports-policy = 策略
reports-results = 结果
reports-done = 处理方式
reports-details = 详情
