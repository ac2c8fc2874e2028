function finish(name, num, ret, intercepted)
end
