# 一封邮件：时间线，以及可以做什么。

message-title = 邮件 { $id }
message-none = 队列和历史记录中都没有这封邮件。它可能早于历史记录的保留期。
message-search = 搜索它
message-facts = 邮件信息
message-timeline = 经过
message-queue = 尚待投递
message-no-history = 历史记录中没有关于这封邮件的内容。
message-is-held = 等待您决定。
message-waits =
    { $n ->
        [0] 第一次尝试：{ $next }。
       *[other] 已尝试 { $n } 次，下一次：{ $next }。
    }
message-author = From 字段
message-subject = 主题
message-target = 投递到
message-arrived = 到达时间
message-size = 大小
message-queue-id = 队列 ID
by = 操作者
release = 放行
release-wrapped = 作为附件放行
drop = 丢弃
drop-words = 邮件将被永久删除，且不通知发件人。此操作无法撤销。
retry-now = 立即重试
disable-alias = 停用 { $alias }
change-target = 更改 { $alias } 的去向
done-retry = 正在尝试投递。
done-drop = 已丢弃。
done-release = 已放行，正在送往目标邮箱。
done-disable-alias = { $alias } 已停用：发往它的邮件将被拒绝。
done-enable-alias = { $alias } 恢复接收邮件。
block-sender = 屏蔽发往 { $alias } 的 { $sender }
always-allow = 放行，且不再扣留 { $sender }
done-block = 今后 { $sender } 发往 { $alias } 的邮件将被拒绝。
done-unblock = 不再拒绝 { $sender } 发往 { $alias } 的邮件。
done-allow = 已放行。今后不再扣留 { $sender } 发往 { $alias } 的邮件。
done-disallow = { $sender } 发往 { $alias } 的可疑邮件将再次被扣留。
