-- A statement's file lies packed in pieces, so that none is ever whole in
-- memory. What was kept before stays in the column body.
ALTER TABLE statements ADD COLUMN file TEXT NOT NULL DEFAULT '';
ALTER TABLE statements ADD COLUMN size BIGINT NOT NULL DEFAULT 0;

CREATE TABLE statement_pieces (
    tenant_id BIGINT NOT NULL,
    file TEXT NOT NULL,
    piece_no BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, file, piece_no)
);
CREATE INDEX statement_pieces_age ON statement_pieces (created_at);
CREATE INDEX statements_file ON statements (file);

-- The refunds of a trade are looked for by its number.
CREATE INDEX sandbox_trades_parent ON sandbox_trades (parent_no);
