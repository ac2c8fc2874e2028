-- What is shown after each call.
local seen = 0

function finish(name, num, ret, intercepted, a1, a2)
  seen = seen + 1
  if name == "openat" or name == "open" then
    local path = c_read_string(name == "open" and a1 or a2, 16)
    c_log(("finish %s %s %s %s"):format(path:match("^/sfemu/%w+") or path, type(num), tostring(ret), tostring(intercepted)))
  elseif name == "exit_group" then
    c_log("finish of an end")
  end
  return 0
end
