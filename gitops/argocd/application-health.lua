-- Argo CD gives no health to an Application inside of an Application, and a wave of an app of apps would not wait for it.
local hs = { status = "Progressing", message = "" }
if obj.status ~= nil and obj.status.health ~= nil then
  hs.status = obj.status.health.status or hs.status
  hs.message = obj.status.health.message or ""
end
return hs
