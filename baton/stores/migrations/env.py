"""Run by Alembic: migrations on the connection that stores/migrate.py passes in."""

from alembic import context

from baton.stores.refusals import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
