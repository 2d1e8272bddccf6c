# 邮件列表。

mail-search = 地址、ID、主机、IP 或回复中的词语
mail-all = 全部
mail-refused = 已拒绝
mail-held = 已扣留
mail-waiting = 等待中
mail-failed = 失败
mail-none = 还没有邮件。向您的任一地址发一封邮件，一秒之内就会出现在这里。
mail-none-next = 查看还需设置什么
mail-none-such = 没有这一类邮件。
mail-none-found = 没有找到。线索可以是地址或域名、队列 ID、Message-ID、主机、IP 地址，或回复中的词语。
mail-show-all = 显示全部邮件
filters = 筛选
column-time = 时间
column-from = 发件人
column-to = 收件人
column-result = 结果
column-reason = 原因
column-act = 操作
null-sender = 无：系统通知
and-others = 以及另外 { $n } 个
next-attempt = 下次尝试
expires = 放弃
