//! Roles, owners and privileges as the server has them.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Executor, Postgres, Row as _, postgres::PgRow};

use super::list::{self, OWNER, READER, SERVICE};

/// The object of a privilege. Statements are written in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Database(String),
    Schema(String),
    Table(String),
    Sequence(String),
    Function(String),
    /// The default privileges on tables or sequences that the owner creates later.
    Future {
        owner: String,
        kind: &'static str,
    },
}

/// A privilege of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grant {
    pub(super) object: Object,
    pub(super) grantee: String,
    pub(super) privilege: String,
    pub(super) column: Option<String>,
}

/// The existing roles, objects and grants.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Those of our three roles that exist.
    pub(super) roles: BTreeSet<String>,
    pub(super) database: String,
    /// The connected role, quoted.
    pub(super) user: String,
    /// Whether the connected role is a superuser, or a member of the owner.
    pub(super) is_owner: bool,
    /// Whether the connected role is a login of the service, and neither superuser nor owner.
    pub(super) is_service: bool,
    /// The superusers of the server.
    pub(super) superusers: BTreeSet<String>,
    /// Our objects with their owners.
    pub(super) owners: BTreeMap<Object, String>,
    /// The grants of our roles and of `public`.
    pub(super) grants: BTreeSet<Grant>,
}

/// The kinds of row: `role`, `super` (a superuser), `self`, `object` (kind, name, owner, the table of a sequence) and `grant` (kind, name,
/// grantee, privilege, column). Names are quoted where they need it.
const QUERY: &str = r#"
with named as (select oid, quote_ident(rolname) as name from pg_roles union all select 0, 'public'),
grantee as (select * from named where name in ('public', 'brune_owner', 'brune_service', 'brune_reader')),
relation as (
  select c.oid, quote_ident(c.relname) as name, c.relowner, c.relacl,
    case c.relkind when 'S' then 'sequence' else 'table' end as kind,
    (select quote_ident(t.relname) from pg_depend d join pg_class t on t.oid = d.refobjid
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
        and d.deptype in ('a', 'i') and c.relkind = 'S' limit 1) as of_table
  from pg_class c
  where c.relnamespace = to_regnamespace('public') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')),
routine as (
  select oid, quote_ident(proname) || '(' || pg_get_function_identity_arguments(oid) || ')' as name, proowner, proacl
  from pg_proc where pronamespace = to_regnamespace('public') and prokind = 'f'),
acl(kind, name, extra, items) as (
  select kind, name, of_table, coalesce(relacl,
      acldefault(case kind when 'sequence' then 's' else 'r' end::"char", relowner)) from relation
  union all
  select 'function', name, null, coalesce(proacl, acldefault('f', proowner)) from routine
  union all
  select 'schema', quote_ident(nspname), null, coalesce(nspacl, acldefault('n', nspowner))
    from pg_namespace where nspname = 'public'
  union all
  select 'database', quote_ident(datname), null, coalesce(datacl, acldefault('d', datdba))
    from pg_database where datname = current_database()
  union all
  select case defaclobjtype when 'S' then 'future sequences' else 'future tables' end, r.name, null, defaclacl
    from pg_default_acl join named r on r.oid = defaclrole
    where defaclnamespace = to_regnamespace('public') and defaclobjtype in ('r', 'S'))
select 'role', '', name, null, null, null from grantee where oid <> 0
union all
select 'super', '', quote_ident(rolname), null, null, null from pg_roles where rolsuper
union all
select 'self', quote_ident(current_database()), quote_ident(current_user),
    (rolsuper or exists (select from pg_roles o
      where o.rolname = 'brune_owner' and pg_has_role(u.oid, o.oid, 'MEMBER')))::text,
    (exists (select from pg_roles s
      where s.rolname = 'brune_service' and pg_has_role(u.oid, s.oid, 'MEMBER')))::text, null
  from pg_roles u where rolname = current_user
union all
select 'object', kind, r.name, n.name, of_table, null from relation r join named n on n.oid = relowner
union all
select 'object', 'function', r.name, n.name, null, null from routine r join named n on n.oid = proowner
union all
select 'grant', kind, acl.name, g.name, lower(a.privilege_type), null
  from acl cross join aclexplode(items) a join grantee g on g.oid = a.grantee
union all
select 'grant', 'table', r.name, g.name, lower(a.privilege_type), quote_ident(t.attname)
  from relation r join pg_attribute t on t.attrelid = r.oid and not t.attisdropped
    cross join aclexplode(t.attacl) a join grantee g on g.oid = a.grantee
"#;

impl State {
    /// Reads the state in one statement.
    pub(super) async fn read<'c>(
        executor: impl Executor<'c, Database = Postgres>,
    ) -> sqlx::Result<Self> {
        // A single statement sees a single snapshot, so owners and grants fit together.
        let rows = executor.fetch_all(sqlx::raw_sql(QUERY)).await?;
        let mut state = Self::default();
        for row in &rows {
            state.add_row(row)?;
        }
        let sequences = foreign_sequences(&rows)?;
        state.owners.retain(|object, _| is_ours(object, &sequences));
        state.grants.retain(|grant| is_ours(&grant.object, &sequences));
        Ok(state)
    }

    /// Whether the roles of service and reader exist.
    pub(super) fn has_roles(&self) -> bool {
        [SERVICE, READER].iter().all(|role| self.roles.contains(*role))
    }

    /// Returns the owner of the table of revisions, which owns the rest as well.
    pub(super) fn owner(&self) -> &str {
        let head = Object::Table("app_global_setting_head".to_owned());
        self.owners.get(&head).map_or(OWNER, String::as_str)
    }

    fn add_row(&mut self, row: &PgRow) -> sqlx::Result<()> {
        let fact: &str = row.try_get(0)?;
        let kind: &str = row.try_get(1)?;
        let name: String = row.try_get(2)?;
        let subject: Option<String> = row.try_get(3)?;
        match (fact, subject) {
            ("role", _) => {
                self.roles.insert(name);
            }
            ("super", _) => {
                self.superusers.insert(name);
            }
            ("self", is_owner) => {
                let is_member: Option<&str> = row.try_get(4)?;
                kind.clone_into(&mut self.database);
                self.user = name;
                // The columns of a union have a common type, so a boolean arrives as text.
                self.is_owner = is_owner.as_deref() == Some("true");
                self.is_service = is_member == Some("true") && !self.is_owner;
            }
            ("object", Some(owner)) => {
                self.owners.insert(Object::of(kind, name), owner);
            }
            (_, Some(grantee)) => {
                let object = Object::of(kind, name);
                let (privilege, column) = (row.try_get(4)?, row.try_get(5)?);
                self.grants.insert(Grant { object, grantee, privilege, column });
            }
            (_, None) => {}
        }
        Ok(())
    }
}

/// Returns the sequences of foreign tables.
fn foreign_sequences(rows: &[PgRow]) -> sqlx::Result<BTreeSet<String>> {
    let mut sequences = BTreeSet::new();
    for row in rows {
        let fact: &str = row.try_get(0)?;
        let kind: &str = row.try_get(1)?;
        let of_table: Option<&str> = row.try_get(4)?;
        // The name of a sequence follows no rule, so the table of the sequence decides.
        if (fact, kind) == ("object", "sequence") && of_table.and_then(list::find).is_none() {
            sequences.insert(row.try_get(2)?);
        }
    }
    Ok(sequences)
}

impl Object {
    fn of(kind: &str, name: String) -> Self {
        match kind {
            "database" => Self::Database(name),
            "schema" => Self::Schema(name),
            "sequence" => Self::Sequence(name),
            "function" => Self::Function(name),
            "future tables" => Self::Future { owner: name, kind: "tables" },
            "future sequences" => Self::Future { owner: name, kind: "sequences" },
            _ => Self::Table(name),
        }
    }
}

fn is_ours(object: &Object, foreign_sequences: &BTreeSet<String>) -> bool {
    match object {
        Object::Database(_) | Object::Schema(_) | Object::Future { .. } => true,
        Object::Table(name) => list::find(name).is_some(),
        Object::Sequence(name) => !foreign_sequences.contains(name),
        Object::Function(signature) => list::is_ours(signature),
    }
}
