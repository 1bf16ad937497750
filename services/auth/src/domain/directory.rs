//! The directory: everybody's organisations, roles and groups at one moment, and what they come to.
//!
//! It is read from the database as a whole when its number moves, so that a token is issued without
//! reading any of it, and so that a change can be checked against all of it (no cycle, no role that does
//! not exist) before it is written on the condition that the number has not moved. Users are not part of
//! it: there are too many, and whoever needs one has read it already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lightning_mesh::identity::DEFAULT_ORGANIZATION;

use super::{
    groups::{GROUP, Group},
    organizations::Organization,
    permissions::{self, Role},
    roles::{CustomRole, MAX_DEPTH},
    service_accounts::ServiceAccount,
};

/// The most ways that are told of for one permission.
const MAX_SOURCES: usize = 20;

/// What the directory is made of.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) organizations: Vec<Organization>,
    pub(crate) roles: Vec<CustomRole>,
    pub(crate) groups: Vec<Group>,
    /// Ids of groups, and members as the mesh writes subjects.
    pub(crate) members: Vec<(String, String)>,
    pub(crate) accounts: Vec<ServiceAccount>,
    pub(crate) stopped: Vec<String>,
}

/// Everybody's organisations, roles and groups at one moment.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Its number; a change is only written if it is still this one.
    pub(crate) number: i64,
    organizations: BTreeMap<String, Organization>,
    /// By organisation, then by name.
    roles: HashMap<String, BTreeMap<String, CustomRole>>,
    groups: HashMap<String, Group>,
    /// The groups that somebody is directly in.
    groups_of: HashMap<String, Vec<String>>,
    /// Who is directly in a group, sorted.
    members: HashMap<String, BTreeSet<String>>,
    accounts: HashMap<String, ServiceAccount>,
    by_agent: HashMap<String, String>,
    by_client: HashMap<String, String>,
    stopped: BTreeSet<String>,
}

/// What somebody's roles and groups come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The names of all roles, through whatever they come.
    pub(crate) roles: Vec<String>,
    /// The names of all groups.
    pub(crate) groups: Vec<String>,
    pub(crate) permissions: Vec<String>,
}

/// Why something cannot be nested so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Nesting {
    /// It would contain itself; the way from it to itself.
    Cycle(Vec<String>),
    /// Deeper than [`MAX_DEPTH`].
    TooDeep,
}

// === impl Directory ===

impl Directory {
    pub(crate) fn new(number: i64, parts: Parts) -> Self {
        let mut directory = Self { number, ..Self::default() };
        for organization in parts.organizations {
            directory.organizations.insert(organization.id.clone(), organization);
        }
        for role in parts.roles {
            let of = directory.roles.entry(role.organization_id.clone()).or_default();
            of.insert(role.name.clone(), role);
        }
        for group in parts.groups {
            directory.groups.insert(group.id.to_string(), group);
        }
        for (group, member) in parts.members {
            directory.groups_of.entry(member.clone()).or_default().push(group.clone());
            directory.members.entry(group).or_default().insert(member);
        }
        for account in parts.accounts {
            let id = account.id.to_string();
            if let Some(agent) = &account.agent_id {
                directory.by_agent.insert(agent.clone(), id.clone());
            }
            for client in &account.client_ids {
                directory.by_client.insert(client.clone(), id.clone());
            }
            directory.accounts.insert(id, account);
        }
        directory.stopped = parts.stopped.into_iter().collect();
        directory
    }

    pub(crate) fn organization(&self, id: &str) -> Option<&Organization> {
        self.organizations.get(id)
    }

    pub(crate) fn organizations(&self) -> impl Iterator<Item = &Organization> {
        self.organizations.values()
    }

    /// Whether members of an organisation may act: it exists and is not disabled.
    pub(crate) fn acts(&self, organization: &str) -> bool {
        self.organizations.get(organization).is_some_and(|known| !known.disabled)
    }

    /// Whether somebody was stopped.
    pub(crate) fn is_stopped(&self, subject: &str) -> bool {
        self.stopped.contains(subject)
    }

    /// Everybody whose calls every service refuses: those who were stopped, disabled accounts, and
    /// disabled organisations as `organization:<id>`.
    pub(crate) fn refused(&self) -> Vec<String> {
        let disabled = self.organizations.values().filter(|known| known.disabled);
        let accounts = self.accounts.values();
        let out =
            accounts.filter(|account| account.disabled || !self.acts(&account.organization_id));
        let all: BTreeSet<String> = disabled
            .map(|organization| format!("organization:{}", organization.id))
            .chain(out.map(|account| account.subject().full()))
            .chain(self.stopped.iter().cloned())
            .collect();
        all.into_iter().collect()
    }

    pub(crate) fn role(&self, organization: &str, name: &str) -> Option<&CustomRole> {
        self.roles.get(organization)?.get(name)
    }

    /// The roles that an organisation made, by name.
    pub(crate) fn roles(&self, organization: &str) -> impl Iterator<Item = &CustomRole> {
        self.roles.get(organization).into_iter().flat_map(BTreeMap::values)
    }

    /// Whether a role exists, built in or made.
    pub(crate) fn has_role(&self, organization: &str, name: &str) -> bool {
        Role::parse(name).is_some() || self.role(organization, name).is_some()
    }

    /// The first of these names that is no role.
    pub(crate) fn unknown_role<'a>(
        &self,
        organization: &str,
        names: &'a [String],
    ) -> Option<&'a String> {
        names.iter().find(|name| !self.has_role(organization, name))
    }

    pub(crate) fn group(&self, organization: &str, id: &str) -> Option<&Group> {
        self.groups.get(id).filter(|group| group.organization_id == organization)
    }

    /// The groups of an organisation, by name.
    pub(crate) fn groups(&self, organization: &str) -> Vec<&Group> {
        let own = self.groups.values().filter(|group| group.organization_id == organization);
        let mut groups: Vec<&Group> = own.collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    /// Who is directly in a group, sorted.
    pub(crate) fn members(&self, group: &str) -> impl Iterator<Item = &String> {
        self.members.get(group).into_iter().flatten()
    }

    pub(crate) fn account(&self, id: &str) -> Option<&ServiceAccount> {
        self.accounts.get(id)
    }

    pub(crate) fn accounts(&self, organization: &str) -> impl Iterator<Item = &ServiceAccount> {
        self.accounts.values().filter(move |account| account.organization_id == organization)
    }

    /// The account that is an agent's own identity.
    pub(crate) fn account_of_agent(&self, agent: &str) -> Option<&ServiceAccount> {
        self.accounts.get(self.by_agent.get(agent)?)
    }

    /// The account that a client's own credentials speak for.
    pub(crate) fn account_of_client(&self, client: &str) -> Option<&ServiceAccount> {
        self.accounts.get(self.by_client.get(client)?)
    }

    /// All groups that somebody is in, those around groups among them, by id.
    fn all_groups(&self, member: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&str> = vec![member];
        while let Some(member) = next.pop() {
            for group in self.groups_of.get(member).into_iter().flatten() {
                if found.insert(group.as_str())
                    && let Some((key, _)) = self.groups_of.get_key_value(&format!("{GROUP}{group}"))
                {
                    next.push(key);
                }
            }
        }
        found
    }

    /// All roles that these come to, those that they inherit among them.
    fn all_roles<'a>(
        &'a self,
        organization: &str,
        names: impl Iterator<Item = &'a String>,
    ) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&str> = names.map(String::as_str).collect();
        while let Some(name) = next.pop() {
            if !found.insert(name) {
                continue;
            }
            if let Some(role) = self.role(organization, name) {
                next.extend(role.inherits.iter().map(String::as_str));
            }
        }
        found
    }

    /// What roles come to, one permission after the other.
    pub(crate) fn permissions_of(
        &self,
        organization: &str,
        roles: &[String],
        contract: &[String],
    ) -> Vec<String> {
        let all = self.all_roles(organization, roles.iter());
        self.permissions(organization, &all, contract)
    }

    fn permissions(
        &self,
        organization: &str,
        roles: &BTreeSet<&str>,
        contract: &[String],
    ) -> Vec<String> {
        let operator = organization == DEFAULT_ORGANIZATION;
        let holdable = permissions::holdable(contract, operator);
        let mut held = BTreeSet::new();
        for name in roles {
            if let Some(built_in) = Role::parse(name) {
                held.extend(built_in.permissions(contract, operator));
            } else if let Some(role) = self.role(organization, name) {
                held.extend(permissions::expanded(&role.permissions, &holdable).cloned());
            }
        }
        if held.contains("*") { vec!["*".to_owned()] } else { held.into_iter().collect() }
    }

    /// What somebody with these roles of their own may do, `member` being what groups call them.
    pub(crate) fn resolve(
        &self,
        organization: &str,
        member: &str,
        own: &[String],
        contract: &[String],
    ) -> Resolved {
        let groups: Vec<&Group> = self
            .all_groups(member)
            .into_iter()
            .filter_map(|id| self.group(organization, id))
            .collect();
        let through_groups = groups.iter().flat_map(|group| group.roles.iter());
        let mut roles = self.all_roles(organization, own.iter().chain(through_groups));
        // A role that was deleted by another instance a moment ago gives nothing and is not told of.
        roles.retain(|name| self.has_role(organization, name));
        let permissions = self.permissions(organization, &roles, contract);
        let mut groups: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
        groups.sort();
        Resolved { roles: roles.into_iter().map(str::to_owned).collect(), groups, permissions }
    }

    /// What a member of a group gets from it, and from the groups around it.
    pub(crate) fn permissions_of_group(&self, group: &Group, contract: &[String]) -> Vec<String> {
        let organization = &group.organization_id;
        self.resolve(organization, &group.member(), &group.roles, contract).permissions
    }

    /// Where each permission of somebody comes from.
    pub(crate) fn sources(
        &self,
        organization: &str,
        member: &str,
        own: &[String],
        contract: &[String],
    ) -> BTreeMap<String, Vec<String>> {
        let mut ways: Vec<(String, &str)> =
            own.iter().map(|role| (format!("role:{role}"), role.as_str())).collect();
        for id in self.all_groups(member) {
            if let Some(group) = self.group(organization, id) {
                let of = |role: &'_ String| format!("group:{} > role:{role}", group.name);
                ways.extend(group.roles.iter().map(|role| (of(role), role.as_str())));
            }
        }
        let operator = organization == DEFAULT_ORGANIZATION;
        let holdable = permissions::holdable(contract, operator);
        let mut sources: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        while let Some((way, name)) = ways.pop() {
            if !seen.insert(way.clone()) {
                continue;
            }
            let held = match Role::parse(name) {
                Some(role) => role.permissions(contract, operator),
                None => match self.role(organization, name) {
                    Some(role) => {
                        let deeper = |next: &String| format!("{way} > role:{next}");
                        // As deep as roles may be, and no further if they are deeper for whatever reason.
                        if way.matches('>').count() <= MAX_DEPTH {
                            let inherited = role.inherits.iter();
                            ways.extend(inherited.map(|next| (deeper(next), next.as_str())));
                        }
                        role.permissions.clone()
                    }
                    None => Vec::new(),
                },
            };
            for permission in permissions::expanded(&held, &holdable) {
                let known = sources.entry(permission.clone()).or_default();
                if known.len() < MAX_SOURCES {
                    known.push(way.clone());
                }
            }
        }
        sources.values_mut().for_each(|ways| ways.sort());
        sources
    }

    /// Whether the roles of an organisation can be nested so, with `role` as it would be.
    pub(crate) fn check_role(&self, role: &CustomRole) -> Result<(), Nesting> {
        let mut edges: BTreeMap<&str, Vec<&str>> = self
            .roles(&role.organization_id)
            .map(|known| (known.name.as_str(), known.inherits.iter().map(String::as_str).collect()))
            .collect();
        edges.insert(&role.name, role.inherits.iter().map(String::as_str).collect());
        check_nesting(&edges)
    }

    /// Whether the groups of an organisation can be nested so, with `added` in `group`.
    pub(crate) fn check_members(&self, group: &Group, added: &[String]) -> Result<(), Nesting> {
        let of_group = |id: &str| {
            let members = self.members.get(id).into_iter().flatten();
            members.filter_map(|member| member.strip_prefix(GROUP)).collect::<Vec<_>>()
        };
        let own = self.groups(&group.organization_id);
        let mut edges: BTreeMap<&str, Vec<&str>> =
            own.iter().map(|known| (known.id.as_str(), of_group(known.id.as_str()))).collect();
        let added = added.iter().filter_map(|member| member.strip_prefix(GROUP));
        edges.entry(group.id.as_str()).or_default().extend(added);
        check_nesting(&edges)
    }

    /// Whatever uses a role, besides users: `role:…`, `group:…`, `service-account:…`, at most 20.
    pub(crate) fn users_of_role(&self, organization: &str, name: &str) -> Vec<String> {
        let has = |names: &[String]| names.iter().any(|known| known == name);
        let roles = self.roles(organization).filter(|role| has(&role.inherits));
        let groups = self.groups(organization);
        let groups = groups.iter().filter(|group| has(&group.roles));
        let accounts = self.accounts(organization).filter(|account| has(&account.roles));
        roles
            .map(|role| format!("role:{}", role.name))
            .chain(groups.map(|group| format!("group:{}", group.name)))
            .chain(accounts.map(|account| format!("service-account:{}", account.name)))
            .take(MAX_SOURCES)
            .collect()
    }
}

/// Fails if something contains itself or is more than [`MAX_DEPTH`] levels deep.
fn check_nesting(edges: &BTreeMap<&str, Vec<&str>>) -> Result<(), Nesting> {
    let mut known = HashMap::new();
    edges.keys().try_for_each(|&start| levels(start, edges, &mut Vec::new(), &mut known).map(drop))
}

/// How many levels there are from here down. Never goes deeper than the limit and never the same way
/// twice, whatever the edges are.
fn levels<'a>(
    here: &'a str,
    edges: &BTreeMap<&'a str, Vec<&'a str>>,
    way: &mut Vec<&'a str>,
    known: &mut HashMap<&'a str, usize>,
) -> Result<usize, Nesting> {
    if let Some(levels) = known.get(here) {
        return Ok(*levels);
    }
    if let Some(start) = way.iter().position(|passed| *passed == here) {
        let cycle = way[start..].iter().chain([&here]).map(|name| (*name).to_owned());
        return Err(Nesting::Cycle(cycle.collect()));
    }
    // A cycle is at most as long as there are things, and found before the way gets longer than that.
    way.push(here);
    let mut deepest = 0;
    for next in edges.get(here).into_iter().flatten() {
        deepest = deepest.max(levels(next, edges, way, known)?);
    }
    way.pop();
    let all = deepest + 1;
    if all > MAX_DEPTH {
        return Err(Nesting::TooDeep);
    }
    known.insert(here, all);
    Ok(all)
}

#[cfg(test)]
mod tests;
