// Commands for a terminal. Pure.

/** A word of a shell. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The command that issues credentials. */
export function userCommand(name: string, role: string): string {
  return `dagyo user add ${word(name.trim() || "NAME")} --role ${role}`;
}

/** A command about a user or tenant. */
export function nameCommand(verb: string, name: string): string {
  return `dagyo ${verb} ${word(name.trim() || "NAME")}`;
}

/** The command that changes limits: those that are given. It refuses what is no number. */
export function limitsCommand(tenant: string, limits: readonly string[], values: Readonly<Record<string, string>>): string {
  const flags = limits.filter((l) => values[l]?.trim()).map((l) => ` --${l} ${word(values[l]!.trim())}`);
  return `dagyo tenant limits ${word(tenant.trim() || "NAME")}${flags.join("")}`;
}
