//! Batches into the database: a group in one transaction, each batch whole or not at all.

use model::{Batch, Record, RouteId, SessionId, SessionRow, SettingsEdits, StagedRoute, Version};
use rusqlite::{Connection, ErrorCode};

use crate::form::{
    SpecForm, Unreadable, change_to_text, nanos, orders, session_texts, settings_of, trial,
};
use crate::history::{self, HistoryBounds};
use crate::statements::Statements;

/// Why something was not written. Its text goes to the peer that waits for it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// It would not read back, and the next start would fail on it.
    #[error("not saved: {0}")]
    Unreadable(#[from] Unreadable),
    /// SQLite's.
    #[error("not saved: {}", reason(.0))]
    Sqlite(#[from] rusqlite::Error),
}

fn reason(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::SystemIoFailure) => "the disk fails".to_owned(),
        Some(ErrorCode::ReadOnly) => "the store is read-only".to_owned(),
        Some(ErrorCode::DatabaseBusy) => "the store is locked by another program".to_owned(),
        _ => error.to_string(),
    }
}

/// Writes to one database.
pub(crate) struct Writer<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    history: HistoryBounds,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(
        connection: &'c Connection,
        history: HistoryBounds,
    ) -> rusqlite::Result<Self> {
        Ok(Self { connection, statements: Statements::prepare(connection)?, history })
    }

    /// Writes a group of batches, in order; what comes back stands in the same order and is true:
    /// `Ok` is on disk, `Err` left no trace. One batch that cannot be written does not fail the
    /// others, even where its failure took the transaction along.
    pub(crate) fn write(&mut self, batches: &[Batch]) -> Vec<Result<(), WriteError>> {
        match self.transaction(batches) {
            Ok(results) => results,
            Err(error) if batches.len() == 1 => vec![Err(error)],
            Err(_) => batches.iter().map(|batch| self.alone(batch)).collect(),
        }
    }

    fn alone(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let results = self.transaction(std::slice::from_ref(batch))?;
        results.into_iter().next().unwrap_or(Ok(()))
    }

    /// The outer error: none of them was written.
    fn transaction(
        &mut self,
        batches: &[Batch],
    ) -> Result<Vec<Result<(), WriteError>>, WriteError> {
        self.statements.begin.execute([])?;
        let results = self.batches(batches).and_then(|results| {
            self.statements.commit.execute([])?;
            Ok(results)
        });
        // Some failures have rolled back already.
        if results.is_err() && !self.connection.is_autocommit() {
            self.statements.rollback.execute([])?;
        }
        results
    }

    fn batches(&mut self, batches: &[Batch]) -> Result<Vec<Result<(), WriteError>>, WriteError> {
        let mut results = Vec::with_capacity(batches.len());
        for batch in batches {
            self.statements.batch_begin.execute([])?;
            let result = self.records(&batch.records);
            if let Err(error) = result {
                if self.connection.is_autocommit() {
                    return Err(error);
                }
                self.statements.batch_undo.execute([])?;
                results.push(Err(error));
            } else {
                results.push(Ok(()));
            }
            self.statements.batch_done.execute([])?;
        }
        Ok(results)
    }

    fn records(&mut self, records: &[Record]) -> Result<(), WriteError> {
        records.iter().try_for_each(|record| self.record(record))
    }

    fn record(&mut self, record: &Record) -> Result<(), WriteError> {
        let to = &mut self.statements;
        match record {
            Record::PutSession(row) => self.put_session(row)?,
            Record::RemoveSession(id) => drop(to.remove_session.execute([id.as_str()])?),
            Record::PutRoute { session, route, spec, since } => {
                let SpecForm { domains, path, backend, priority } = SpecForm::checked(spec)?;
                let row = (session.as_str(), route.0, domains, path, backend, priority, since.0);
                to.put_route.execute(row)?;
            }
            Record::RemoveRoute(route) => drop(to.remove_route.execute([route.0])?),
            Record::PutHealth(route, healthy) => {
                to.put_health.execute((route.0, healthy))?;
            }
            Record::PutSettings(id, edits) => self.put_settings(id, edits)?,
            Record::StageRoute(id, route, staged) => {
                self.stage_route(id, *route, staged.as_ref())?;
            }
            Record::StageSettings(id, edits) => {
                for row in settings_of(edits)? {
                    to.stage_setting.execute((
                        id.as_str(),
                        row.kind,
                        row.target,
                        row.name,
                        row.value,
                    ))?;
                }
            }
            Record::DropStagedSettings(id) => {
                to.drop_staged_settings.execute([id.as_str()])?;
            }
            Record::DropDraft(id) => {
                to.drop_staged_routes.execute([id.as_str()])?;
                to.drop_staged_settings.execute([id.as_str()])?;
            }
            Record::PutDrain(id, Some(drain)) => {
                let duration = nanos(drain.duration);
                let row = (id.as_str(), drain.started_at.0, duration, drain.from_percent);
                to.put_drain.execute(row)?;
            }
            Record::PutDrain(id, None) => drop(to.remove_drain.execute([id.as_str()])?),
            Record::PutMaintenance(id, rows) => {
                to.remove_maintenance.execute([id.as_str()])?;
                for (position, order) in rows.iter().enumerate() {
                    let (target, page) = orders::texts(order)?;
                    let row = (id.as_str(), position, target, page, order.entered_at.0);
                    to.put_maintenance.execute(row)?;
                }
            }
            Record::PutTry(id, Some(row)) => {
                to.put_try.execute((id.as_str(), row.deadline.0, trial::text(row)?))?;
            }
            Record::PutTry(id, None) => drop(to.remove_try.execute([id.as_str()])?),
            Record::History(row) => {
                let changes = change_to_text(&row.put, &row.removed)?;
                to.add_history.execute((
                    row.generation.0,
                    row.at.0,
                    row.service.as_str(),
                    row.instance.as_str(),
                    &*row.origin,
                    row.action,
                    changes.len(),
                    changes,
                ))?;
                history::prune(to, &self.history, row.at)?;
            }
            Record::Counters { last_route, generation } => {
                to.put_counters.execute([last_route.0, generation.0])?;
            }
        }
        Ok(())
    }

    fn put_session(&mut self, row: &SessionRow) -> Result<(), WriteError> {
        let version = match row.version {
            Version::V1 => 1,
            Version::V2 => 2,
        };
        self.statements.put_session.execute((
            row.session.as_str(),
            row.service.as_str(),
            row.instance.as_str(),
            version,
            row.maintenance_port,
            row.metadata.as_deref(),
            row.registered_at.0,
            row.last_apply.map(|at| at.0),
            row.generation.map(|generation| generation.0),
            session_texts::subscriptions(&row.subscriptions),
            row.replaced_by.as_ref().map(SessionId::as_str),
            row.pinned,
            row.credential.as_deref(),
        ))?;
        Ok(())
    }

    fn put_settings(&mut self, id: &SessionId, edits: &SettingsEdits) -> Result<(), WriteError> {
        for row in settings_of(edits)? {
            let (put, remove) =
                (&mut self.statements.put_setting, &mut self.statements.remove_setting);
            match row.value {
                Some(value) => put.execute((id.as_str(), row.kind, row.target, row.name, value))?,
                None => remove.execute((id.as_str(), row.kind, row.target, row.name))?,
            };
        }
        Ok(())
    }

    fn stage_route(
        &mut self,
        id: &SessionId,
        route: RouteId,
        staged: Option<&StagedRoute>,
    ) -> Result<(), WriteError> {
        let (change, spec, from) = match staged {
            None => {
                self.statements.unstage_route.execute((id.as_str(), route.0))?;
                return Ok(());
            }
            Some(StagedRoute::Added(spec)) => ("added", Some(spec), None),
            Some(StagedRoute::Updated(spec)) => ("updated", Some(spec), None),
            Some(StagedRoute::Removed) => ("removed", None, None),
            Some(StagedRoute::TakenOver { spec, from }) => ("taken_over", Some(spec), Some(from.0)),
        };
        let spec = spec.map(SpecForm::checked).transpose()?;
        let spec = spec.as_ref().map(crate::form::to_json);
        self.statements.stage_route.execute((id.as_str(), route.0, change, spec, from))?;
        Ok(())
    }
}
