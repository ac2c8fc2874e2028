-- triage-rule: 1
-- id: fix-setsockopt-cfcb3f23
-- run: 20261121_001429_00000002
-- target: cb72c5747f9085b0
-- intent: let the program get past a socket option that is not supported
-- match: setsockopt detail=263,8
-- hit-limit: 8
-- effect: setsockopt with level 263 and option 8 returns 0 without being carried out
-- risk: medium
-- inverse: roll back the generation; nothing was changed
-- template: option_success

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  if a2 ~= 263 or a3 ~= 8 then
    return 0, 0
  end
  c_log("said that the option was set")
  return 1, 0
end
