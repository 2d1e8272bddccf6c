# 用户：账号、密码以及可用的发信地址。

people-sentence =
    { $n ->
        [0] 还没有人可以通过这台服务器发信。
       *[other] 有 { $n } 人可以通过这台服务器发信。
    }
people-sentence-suspended =
    { $n ->
       *[other] 其中 { $n } 人未启用。
    }
people-none = 账号可以在任何邮件程序里用自己的地址发信，每个程序各用一个密码。
people-login = 地址
people-login-hint = 登录名，例如 { $example }。要收信还需要一个别名。
people-add = 添加用户
people-invite = 用链接邀请
people-add-password = 立即生成密码
people-add-words = 链接只能用一次：对方在那里自己设定密码，你无需知道。
people-clients = 密码
people-last = 最近登录
people-active = 正常
people-suspended = 已暂停
people-disabled = 已停用
people-password = 密码
people-made = 已生成。密码只显示这一次：
people-made-words = 现在就填进邮件程序，或交给对方。若遗失，重新生成一个即可。
people-done = 完成

people-sentence-why = 已暂停：{ $why }
people-sentence-disabled = 已停用，无法登录。
people-sentence-last = 最近登录：{ $when }。
people-sentence-never = 从未登录过。
people-passwords = 密码（每个程序一个）
people-no-password = 还没有密码，无法登录。
people-client = 程序
people-client-hint = 例如“手机”“笔记本”或 Gmail。同名的旧密码会被替换。
people-created = 创建于
people-used = 最近使用
people-unused = 从未
people-from = 来自
people-certificate = 客户端证书
people-imported = 导入的密码
people-remove-words = 使用它的程序将无法再登录。
people-remove-password = 删除密码
people-password-removed = 密码“{ $name }”已删除。
people-new-password = 新密码
people-make-password = 生成密码

people-senders = 可用的发信地址
people-own-addresses = 自己的地址
people-more-addresses = 其他地址
people-none-more = 无
people-senders-hint = 多个地址用空格分开；@example.com 表示整个域名，* 表示任意地址。
people-change-senders = 修改其他地址
people-account = 账号
people-new-link = 新的一次性链接
people-link-words = 对方可以用链接设定密码，例如忘记旧密码时。
people-link-made = 给 { $login } 的链接，只显示这一次。请发给对方：
people-link-until = 只能用一次，到期：{ $when }。
people-mail = 往来邮件
people-resume = 允许再次登录
people-suspend = 暂停
people-suspend-words = 它将无法登录和发信。它的别名继续转发。
people-suspend-why = 原因
people-suspend-hint = 显示在这里和日志里。
people-suspend-button = 暂停账号
people-is-suspended = { $login } 已暂停。
people-is-active = { $login } 可以再次登录。
people-remove = 删除
people-remove-account-words = { $login } 将无法登录，密码一并删除。它的别名保留并继续转发。此操作无法撤销；若只想暂时停止，请暂停账号。
people-remove-button = 删除账号
people-removed = { $login } 已删除。
people-owner = 管理员
people-owner-make = 设为管理员
people-owner-words = 管理员可以在这里查看和修改一切：邮件、别名、用户和服务器。
people-owner-end = 不再是管理员
people-owner-end-words = 之后只能看到自己的别名和密码。
people-is-owner = { $login } 已成为管理员。
people-is-no-owner = { $login } 不再是管理员。
