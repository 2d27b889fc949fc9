/** What to do about a failure of a kind. */
export const advice: Record<string, string[]> = {
  error: ["Read the message: the program reported it itself.", "If single records may fail, give the port the type Result<…> and set the bad ones apart with split_errors."],
  deserialization: ["The record does not match the type of its port. Look at what wrote it: a record must be what its type promises.", "If single records may be bad, give the writer's port the type Result<…>."],
  crash: ["The process ended without reporting why. Look at its standard error below.", "If it ran out of memory, raise resources.limits.memory of the progdef."],
  protocol: ["The SDK of one end broke the rules of edges. Run the conformance kit against that program: dagyo conformance."],
  "lost-health": ["The executor sent no heartbeat in time: its machine is overloaded, frozen or cut off, or the program blocks its SDK.", "If the machine was short of processors, raise health.timeout of the progdef."],
  deadline: ["The flow did not end in time. See which node was waited for.", "Raise the flow's deadline if it needs longer."],
  "lost-edges": ["What the NATS server stored of the flow's edges is gone: it kept that in memory and restarted. Run the flow again.", "With --edge-storage file, edges survive a restart of the server."],
  drained: ["The executor had to exit before the job was done.", "Raise drain.gracePeriod of the progdef, and run the flow again."],
};
