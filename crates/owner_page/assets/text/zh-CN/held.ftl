# 扣留和拒绝的邮件。

held-title = 扣留与拒绝
held-none = 没有被扣留的邮件。
held-none-next = 可疑但不能确定有害的邮件会在这里等您处理。
held-sentence =
    { $more ->
        [0] { $n } 封邮件等待您放行或丢弃。
       *[other] 超过 { $n } 封邮件等待您放行或丢弃。
    }
held-sender = 发件人
held-why = 扣留原因
held-kept = 保留
held-since = 自
held-until = 删除时间
held-hint = 作为附件放行时，它以本服务器的邮件送达，目标邮箱不会拒绝。
no-subject = （无主题）
held-refused = 最近 30 天拒绝的邮件
held-none-refused = 最近 30 天没有拒绝邮件。
