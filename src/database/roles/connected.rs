//! Compares the attributes and privileges of the connected role with the list.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Executor as _, Row as _, postgres::PgRow};

use super::list::{self, FUNCTION_PREFIXES, TABLES};
use crate::database::Connection;

/// The role that this process is connected as.
#[derive(Debug, Default)]
pub struct Connected {
    /// The name of the role, with the login role if different.
    pub name: String,
    /// Whether the server checks no privileges.
    pub is_superuser: bool,
    /// The owners of our tables and functions of which the role is a member, or is itself.
    pub owners: Vec<String>,
    /// Attributes and privileges beyond the list, apart from our tables, each as a predicate: `has BYPASSRLS`.
    pub powers: Vec<String>,
    /// Privileges on our tables beyond the list: `delete on app_global_setting_audit`.
    pub excess: Vec<String>,
    /// Privileges of the list that the role lacks.
    pub missing: Vec<String>,
}

/// By table: privileges on the whole table, or on a column.
type Privileges = BTreeMap<String, BTreeSet<(String, Option<String>)>>;

/// Predefined roles that write to every table, or run programs as the server.
const DANGEROUS: &str = "'pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files'";

/// Reads the attributes and privileges of the connected role and of the login role.
///
/// # Errors
/// The query failed.
pub async fn connected(connection: &mut Connection) -> sqlx::Result<Connected> {
    // Older servers have no `has_parameter_privilege`, and a `case` in SQL cannot guard the call.
    let version = "select current_setting('server_version_num')::int >= 150000";
    let row = connection.fetch_one(sqlx::raw_sql(version)).await?;
    let has_parameter_privileges: bool = row.try_get(0)?;
    let query = query(has_parameter_privileges);
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(query))).await?;
    let mut connected = Connected::default();
    let mut privileges = Privileges::new();
    for row in &rows {
        connected.add_row(row, &mut privileges)?;
    }
    connected.compare(&privileges);
    Ok(connected)
}

/// Builds the query. Its columns: the kind of fact, its subject, and for privileges the privilege and the column.
fn query(has_parameter_privileges: bool) -> String {
    let tables = TABLES.iter().map(|table| format!("'{}'", table.name));
    let tables = tables.collect::<Vec<_>>().join(", ");
    let functions = FUNCTION_PREFIXES.map(|prefix| format!("starts_with(proname, '{prefix}')"));
    let functions = functions.join(" or ");
    // Before Postgres 15 only superusers may set the parameter.
    let parameter = if has_parameter_privileges {
        "has_parameter_privilege(oid, 'session_replication_role', 'SET')"
    } else {
        "false"
    };
    // A session can return to the login role by `reset role`, so both roles are checked.
    format!(
        "with login as (select * from pg_roles where rolname in (current_user, session_user)),
        relation as (select * from pg_class
          where relnamespace = to_regnamespace('public') and relname in ({tables}) and relkind in ('r', 'v', 'm')),
        owner as (select relowner as oid from relation union
          select proowner from pg_proc where pronamespace = to_regnamespace('public') and ({functions}))
        select 'name', current_user || case when current_user = session_user then ''
          else ' (logged in as ' || session_user || ')' end, null, null
        union all select 'superuser', rolname, null, null from login where rolsuper
        union all select distinct 'owner', pg_get_userbyid(o.oid)::text, null, null
          from owner o, login l where pg_has_role(l.oid, o.oid, 'MEMBER')
        union all select distinct 'power', power, null, null from login cross join lateral (values
          (rolbypassrls, 'has BYPASSRLS'), (rolcreaterole, 'has CREATEROLE'), (rolreplication, 'has REPLICATION'),
          (has_database_privilege(oid, current_database(), 'TEMP'), 'can create temporary tables in this database'),
          (has_schema_privilege(oid, to_regnamespace('public'), 'CREATE'), 'can create objects in the schema public'),
          ({parameter}, 'can set session_replication_role, which switches triggers off')) p (has, power) where has
        union all select distinct 'power', 'is a member of ' || g.rolname, null, null
          from pg_roles g, login l where g.rolname in ({DANGEROUS}) and pg_has_role(l.oid, g.oid, 'MEMBER')
        union all select 'table', relname, null, null from relation
        union all select 'privilege', relname, p, null from relation,
          unnest('{{select,insert,update,delete,truncate,references,trigger}}'::text[]) p
          where has_table_privilege(oid, p)
        union all select 'privilege', relname, p, attname from relation
          join pg_attribute on attrelid = oid and attnum > 0 and not attisdropped,
          unnest('{{insert,update}}'::text[]) p
          where not has_table_privilege(oid, p) and has_column_privilege(oid, attnum, p)
        order by 1, 2, 3, 4"
    )
}

impl Connected {
    fn add_row(&mut self, row: &PgRow, privileges: &mut Privileges) -> sqlx::Result<()> {
        let fact: &str = row.try_get(0)?;
        let name: String = row.try_get(1)?;
        match fact {
            "name" => self.name = name,
            "superuser" => self.is_superuser = true,
            "owner" => self.owners.push(name),
            "power" => self.powers.push(name),
            "table" => {
                // A table without any privilege needs an entry, too, for the missing privileges.
                privileges.entry(name).or_default();
            }
            _ => {
                privileges.entry(name).or_default().insert((row.try_get(2)?, row.try_get(3)?));
            }
        }
        Ok(())
    }

    fn compare(&mut self, privileges: &Privileges) {
        for (name, actual) in privileges {
            let Some(table) = list::find(name) else { continue };
            let listed: BTreeSet<(String, Option<String>)> = table
                .service
                .iter()
                .flat_map(|privilege| {
                    let columns = privilege.columns.iter().map(|column| Some((*column).to_owned()));
                    let on_table = privilege.columns.is_empty().then_some(None);
                    columns.chain(on_table).map(|column| (privilege.name.to_owned(), column))
                })
                .collect();
            let on = |(privilege, column): &(String, Option<String>)| match column {
                Some(column) => format!("{privilege} ({column}) on {name}"),
                None => format!("{privilege} on {name}"),
            };
            self.excess.extend(actual.difference(&listed).map(on));
            // A privilege on a table includes every column.
            let is_granted = |privilege: &&(String, Option<String>)| {
                actual.contains(*privilege) || actual.contains(&(privilege.0.clone(), None))
            };
            self.missing.extend(listed.iter().filter(|privilege| !is_granted(privilege)).map(on));
        }
    }
}
