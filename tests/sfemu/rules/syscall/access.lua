-- Says that what the plugin plays is there, also where a program asks for it before it opens it.
function do_syscall(num, path)
  c_log("access in " .. __syscall_name .. " of " .. tostring(#__rules_dir > 0))
  return 0, 0
end
