-- Records a stop with what the test host offers, and applies nothing; how it says to go on is a setting, as SFEmu's.
local M = {}

function M.handle(ctx, state, meta)
  if SFEMU_AI_ENABLE == "0" then return { auto_continue = false } end
  local run_id, run_dir = record_stop(meta.reason)
  return {
    run_id = run_id,
    run_dir = run_dir,
    snapshot_path = run_dir .. "/snapshot.json",
    generated = {},
    applied_syscalls = {},
    applied_fix_syscalls = {},
    applied_actions_count = 0,
    auto_continue = SFEMU_AI_AUTO_CONTINUE == "1",
  }
end

return M
