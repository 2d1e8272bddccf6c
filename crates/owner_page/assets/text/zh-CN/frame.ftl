# 每页的框架，以及多个页面共用的词语。

page-title = { $screen } · { $host }
skip = 跳到正文
navigation = 页面
language = 语言
theme = 主题
theme-device = 跟随设备
theme-light = 浅色
theme-dark = 深色
log-out = 退出
search = 搜索
pages = 分页
page-first = 最新
page-next = 下一页
copy = 复制
copied = 已复制
undo = 撤销
undo-too-large = 内容过大，无法撤销。

nav-today = 今天
nav-mail = 邮件
nav-held = 扣留
nav-queue = 队列
nav-aliases = 别名
nav-people = 用户
nav-passwords = 密码
nav-setup = 设置
nav-reports = 报告
nav-server = 服务器

time-now = 刚刚
time-soon = 马上
time-due = 现在
time-ago = { $span }前
time-in = { $span }后
span-milliseconds = { $n } 毫秒
span-tenths = { $n } 秒
span-seconds = { $n } 秒
span-minutes = { $n } 分钟
span-hours = { $n } 小时
span-days = { $n } 天
size-bytes = { $n } B
size-kib = { $n } KiB
size-mib = { $n } MiB
size-gib = { $n } GiB

month-1 = 1月
month-2 = 2月
month-3 = 3月
month-4 = 4月
month-5 = 5月
month-6 = 6月
month-7 = 7月
month-8 = 8月
month-9 = 9月
month-10 = 10月
month-11 = 11月
month-12 = 12月

flow-day = 最近 24 小时的邮件（按小时）
flow-hour = 时间（UTC）
flow-numbers = 数字表
flow-forwarded = 已转发
flow-own = 已发送
flow-refused = 已拒绝
flow-failed = 失败

problem-login = 请先登录再查看此页。
problem-owner = 此页仅供服务器所有者查看。
problem-path = 没有 { $path } 这个页面。
problem-path-hint = 它可能已移动。导航栏列出了所有页面。
problem-method = 此处不能使用 { $method }。
problem-title-login = 请登录
problem-title-owner = 无权查看
problem-title-missing = 未找到
problem-title-request = 操作未成功
problem-title-server = 服务器未能完成操作
