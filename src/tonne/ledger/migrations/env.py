"""What Alembic runs: the steps between two versions of the tables, on the connection that the ledger has open."""

from alembic import context

from tonne.ledger.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
