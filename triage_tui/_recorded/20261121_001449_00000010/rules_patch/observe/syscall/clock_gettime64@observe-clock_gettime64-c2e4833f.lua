-- triage-rule: 1
-- id: observe-clock_gettime64-c2e4833f
-- run: 20261121_001449_00000010
-- target: 3267892044bd1246
-- intent: see each call and its arguments without changing anything
-- match: clock_gettime64
-- hit-limit: 256
-- effect: each call is written to the log
-- risk: low
-- inverse: roll back the generation
-- template: observe_calls

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  c_log(string.format("%s 0x%x 0x%x 0x%x 0x%x", __syscall_name, a1, a2, a3, a4))
  return 0, 0
end
