//! The connection that stores run their statements on.

use futures_util::{future::BoxFuture, stream::BoxStream};
use sqlx::{
    Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    error::BoxDynError,
    pool::PoolConnection,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// A borrowed connection. Behind a pooler no statement is prepared under a name: the next transaction may run on
/// another session, where the name is missing or belongs to another client.
#[derive(Debug)]
pub struct Connection {
    pub(super) inner: PoolConnection<Postgres>,
    pub(super) is_shared: bool,
    /// Whether statements get a custom plan, and are not prepared under a name.
    plans_each_time: bool,
}

impl Connection {
    pub(super) fn new(inner: PoolConnection<Postgres>, is_shared: bool) -> Self {
        Self { inner, is_shared, plans_each_time: false }
    }

    /// Gives the following statements a custom plan, for their own parameters, until the connection is released. For
    /// statements with many rows: the generic plan of a prepared statement may expect few.
    pub fn plan_each_time(&mut self) {
        self.plans_each_time = true;
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    pub(super) async fn ping(&mut self) -> sqlx::Result<()> {
        self.inner.ping().await
    }

    pub(super) fn close_on_drop(&mut self) {
        self.inner.close_on_drop();
    }

    fn split<E>(&mut self, query: E) -> (&mut PgConnection, Unnamed<E>) {
        let is_prepared = !self.is_shared && !self.plans_each_time;
        (&mut self.inner, Unnamed { query, is_prepared })
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (inner, query) = self.split(query);
        inner.fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (inner, query) = self.split(query);
        inner.fetch_optional(query)
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        self.inner.prepare_with(sql, parameters)
    }

    // Undocumented, but required by the trait under the feature `macros`.
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        self.inner.describe(sql)
    }
}

/// A query that is prepared under a name only if `is_prepared`.
struct Unnamed<E> {
    query: E,
    is_prepared: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        // sqlx gives a name to persistent statements only.
        self.query.persistent() && self.is_prepared
    }
}
