# 别名，以及多个页面共用的修改用语。

save = 保存
saved = 已保存。

aliases-sentence =
    { $n ->
        [0] 还没有别名。
       *[other] 共 { $n } 个别名。
    }
aliases-found =
    { $n ->
        [0] 没有符合的别名。
       *[other] 找到 { $n } 个别名。
    }
aliases-search = 地址、目标或备注
aliases-domains = 域名
aliases-all-domains = 全部域名
aliases-none-found = 没有任何地址、目标或备注包含这些文字。
aliases-show-all = 显示全部别名
aliases-no-domain = 这里还没有域名，所以没有可转发的邮件。
aliases-first-domain = 设置第一个域名
aliases-none = 添加第一个：发给 { $address } 的邮件应该转到哪里？
aliases-none-own = 没有别名转到你这里。服务器的管理员可以添加。

aliases-address = 地址
aliases-target = 转发到
aliases-note = 备注
aliases-last = 最近来信
aliases-state = 状态
aliases-today = 今天
aliases-week = 7 天
aliases-month = 30 天
aliases-on = 启用
aliases-off = 停用
aliases-invalid = 无效
aliases-switch-on = 启用
aliases-switch-off = 停用
aliases-is-on = { $address } 已启用，来信会被转发。
aliases-is-off = { $address } 已停用，来信会被拒收。
aliases-more-targets =
    { $n ->
       *[other] 另有 { $n } 个
    }

aliases-add = 添加别名
aliases-add-button = 添加别名
aliases-add-anyway = 仍然添加
aliases-save-anyway = 仍然保存
aliases-added = { $address } 已启用，来信会被转发。
aliases-domain = 域名
aliases-address-hint = @ 前面的部分。留空则接收该域名下所有没有单独别名的地址。
aliases-target-hint = 一个地址；多个地址用空格分开。
aliases-note-hint = 用途说明，只在这里显示。
aliases-doubt = 发往这种地址的邮件会丢失，或落到陌生人手里。请更正，或坚持使用。
aliases-throwaway = 新建一次性地址
aliases-throwaway-nowhere = 一次性地址需要一个去处，而现在还没有任何别名。
aliases-throwaway-hint = 先添加一个别名；之后的一次性地址会转到同一个邮箱。
aliases-made = 可以给出去了：
aliases-made-note = 写下它的用途

aliases-sentence-one = 邮件转发到 { $target }。
aliases-sentence-many =
    { $n ->
       *[other] 邮件转发到 { $target } 和另外 { $n } 个地址。
    }
aliases-sentence-off = 已停用，来信会被拒收。
aliases-sentence-nowhere = 没有可用的目标，来信会被拒收。
aliases-its-mail = 它的邮件
aliases-paused = { $target } 要求暂停投递，发件人会被请求稍后再试。暂停结束：{ $until }。
aliases-way = 邮件的去向
aliases-arrives = 最终到达
aliases-origin = 定义于
aliases-origin-file = virtual 文件
aliases-change-file = 它定义在 virtual 文件中；请在文件里修改，修改立即生效。
aliases-use = 谁给它写信
aliases-unused = 还没有收到过邮件。
aliases-accepted =
    { $n ->
       *[other] { $n } 封
    }
aliases-refused = 拒收 { $n } 封
aliases-first-sender = 最早的发件人
aliases-last-sender = 最近的发件人

aliases-senders = 屏蔽或始终放行的发件人
aliases-blocked = 拒收这些发件人
aliases-allowed = 不扣留这些发件人
aliases-senders-hint = 填地址，或 @ 加域名；多个用空格分开。
aliases-change-target = 改转到别处
aliases-moved = 发往 { $address } 的邮件已改走新的去向。
aliases-strict = 转发后无法通过 DMARC 的邮件
aliases-strict-words = 有些发件人（尤其是银行）禁止他人转交其邮件，又没有签名，这样的邮件会被目标邮箱拒收。
aliases-strict-label = 如何处理
aliases-strict-default = 按配置处理
aliases-strict-as-is = 原样转发
aliases-strict-rewrite = 转发；若目标拒收，则改写发件人
aliases-strict-wrap = 包在本服务器的邮件里
aliases-strict-hold = 扣留
aliases-strict-reject = 拒收
aliases-remove = 删除
aliases-remove-words = 删除后，发往 { $address } 的邮件会被拒收。备注和设置一并删除；往来记录保留。删除后可以马上撤销。
aliases-remove-button = 删除别名
aliases-removed = { $address } 已删除，来信会被拒收。
aliases-restored = { $address } 已恢复。
