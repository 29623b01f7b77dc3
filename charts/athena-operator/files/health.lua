-- The conditions are those of kstatus: a verdict holds only for the generation that the controller has observed, then Stalled is a failure,
-- Reconciling is under way, and Ready tells the rest. https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
local hs = {}

-- Argo CD answers itself for an object that is being deleted, unless it is a hook with a finalizer.
if obj.metadata.deletionTimestamp ~= nil then
  hs.status = "Progressing"
  hs.message = "Pending deletion"
  return hs
end

if obj.status == nil or obj.status.observedGeneration == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for the operator to observe the latest generation"
  return hs
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(name, status)
  return conditions[name] ~= nil and conditions[name].status == status
end

if is("Stalled", "True") then
  hs.status = "Degraded"
  hs.message = conditions.Stalled.message
elseif is("Reconciling", "True") then
  hs.status = "Progressing"
  hs.message = conditions.Reconciling.message
elseif is("Ready", "True") then
  -- A session that is suspended on purpose is Healthy, too: Suspended would keep a sync from going on to its next wave.
  hs.status = "Healthy"
  hs.message = conditions.Ready.message
elseif is("Ready", "False") then
  hs.status = "Degraded"
  hs.message = conditions.Ready.message
else
  hs.status = "Progressing"
  hs.message = "Waiting for the session"
end
return hs
