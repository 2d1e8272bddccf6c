# 队列与暂停。

queue-title = 队列与暂停
queue-all-clear = 没有等待中的邮件，也没有暂停。
queue-waits = { $n } 个收件人等待下次尝试。
queue-waits-paused = { $n } 个等待中；{ $pauses } 个邮箱或主机已暂停。
queue-pauses = 已暂停
paused = 已暂停
paused-until = 结束
resume = 立即恢复
queue-none = 队列为空：每封邮件都已投递或已失败。
queue-none-next = 查看每封邮件的经过
queue-lanes = 等待中（按目标域名）
queue-retry-all = 立即重试全部
queue-domain = 域名
queue-recipients = 收件人
queue-oldest = 最早
queue-next = 下次尝试
queue-cause = 最常见的原因
queue-first = 即将进行第一次尝试。
queue-part = 仅统计队列中的前 { $n } 封邮件。
queue-messages = 显示每封等待中的邮件
queue-set-aside = { $n } 个收件人被搁置：邮件无法读取
queue-held = { $n } 个收件人的邮件被扣留
done-retry-all = 正在重试 { $n } 个收件人。
done-resume = { $about } 已恢复，等待中的邮件正在重试。
