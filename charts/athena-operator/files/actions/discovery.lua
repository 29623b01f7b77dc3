local suspended = obj.spec.suspend == true

local actions = {}
actions["suspend"] = {
  ["iconClass"] = "fa fa-fw fa-pause",
  ["displayName"] = "Suspend: end the session, keep the object",
  ["disabled"] = suspended
}
actions["resume"] = {
  ["iconClass"] = "fa fa-fw fa-play",
  ["displayName"] = "Resume: start a session",
  ["disabled"] = not suspended
}
return actions
