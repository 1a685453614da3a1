//! What stores speak to.

use futures_util::{future::BoxFuture, stream::BoxStream};
use sqlx::{
    Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    error::BoxDynError,
    pool::PoolConnection,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// A connection for one use. Where sessions are shared it leaves no statement prepared on the server: the next
/// transaction, which may run on another session, would not find it there, or would find somebody else's.
#[derive(Debug)]
pub struct Connection {
    pub(super) inner: PoolConnection<Postgres>,
    pub(super) shared: bool,
}

impl Connection {
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    pub(super) async fn ping(&mut self) -> sqlx::Result<()> {
        self.inner.ping().await
    }

    pub(super) fn close_on_drop(&mut self) {
        self.inner.close_on_drop();
    }

    fn take<E>(&mut self, query: E) -> (&mut PgConnection, Passing<E>) {
        (&mut self.inner, Passing { query, shared: self.shared })
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
        let (inner, query) = self.take(query);
        inner.fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (inner, query) = self.take(query);
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

    // Hidden in the documentation, and demanded all the same by the feature `macros`.
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        self.inner.describe(sql)
    }
}

/// A query on its way through a [`Connection`].
struct Passing<E> {
    query: E,
    shared: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Passing<E> {
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
        self.query.persistent() && !self.shared
    }
}
