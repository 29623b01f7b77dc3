-- resource_customizations/athena-operator.io/AthenaSession/health.lua   (kstatus; Lua 5.1, base + table libs only)
local hs = {}
if obj.status == nil or obj.status.observedGeneration == nil
   or obj.status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"; hs.message = "Waiting for the controller to observe the latest generation"; return hs
end
local c = {}
if obj.status.conditions ~= nil then for _, x in ipairs(obj.status.conditions) do c[x.type] = x end end
if c.Stalled ~= nil and c.Stalled.status == "True" then hs.status = "Degraded"; hs.message = c.Stalled.message
elseif c.Reconciling ~= nil and c.Reconciling.status == "True" then hs.status = "Progressing"; hs.message = c.Reconciling.message
elseif c.Ready ~= nil and c.Ready.status == "True" then hs.status = "Healthy"; hs.message = c.Ready.message -- never "Suspended": it hangs multi-wave syncs
elseif c.Ready ~= nil and c.Ready.status == "False" then hs.status = "Degraded"; hs.message = c.Ready.message
else hs.status = "Progressing"; hs.message = "Waiting for the session" end
return hs
