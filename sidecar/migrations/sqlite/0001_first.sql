-- What survives: events, deliveries, attempts, subscriptions, tokens.
--
-- Ids are 16 bytes, big-endian, so that their order is the order of time. Instants are
-- microseconds since the Unix epoch, durations microseconds. States, outcomes and causes are
-- stored under their names.
--
-- Never run ANALYZE on this file: the plans of all queries are tested as they come out without
-- statistics.

-- Events never change. That one waits for its deliveries is said in `undispatched`, so that
-- dispatching does not rewrite the event.
CREATE TABLE events (
    -- Grows with each event that is stored, and is never given out again.
    sequence  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id        BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    type      TEXT    NOT NULL,
    subject   TEXT,
    time_us   INTEGER NOT NULL,
    -- How much later the event happened than its id says.
    skew_us   INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    source    TEXT    NOT NULL,
    -- The event as it travels from gateway to sidecar, without its source.
    frame     BLOB    NOT NULL,
    -- What all requests have in common by which a client asked for the same write.
    idempotency BLOB CHECK (length(idempotency) = 16)
) STRICT;

CREATE INDEX events_by_type ON events (type, id);
CREATE UNIQUE INDEX events_by_idempotency ON events (idempotency) WHERE idempotency IS NOT NULL;
CREATE INDEX events_by_subject ON events (subject, id) WHERE subject IS NOT NULL;
-- Events in the order of their ids are nearly in the order of their times. How nearly, is said
-- by the few that are more than a second late.
CREATE INDEX events_late ON events (skew_us) WHERE skew_us > 1000000;

-- Events without their deliveries.
CREATE TABLE undispatched (
    event_id BLOB    NOT NULL PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    due_at   INTEGER NOT NULL,
    -- Whether somebody has it in hand until `due_at`.
    claimed  INTEGER NOT NULL CHECK (claimed IN (0, 1))
) STRICT, WITHOUT ROWID;

-- What is sent. The deliveries of one event often share one. One without a content type is still to
-- be made, by the subscription's script, and belongs to one delivery.
CREATE TABLE payloads (
    event_id     BLOB    NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    content_type TEXT    NOT NULL,
    -- JSON: [[name, value], …], if there are any
    headers      TEXT,
    body         BLOB    NOT NULL,
    PRIMARY KEY (event_id, number)
) STRICT;

-- A delivery may outlive its subscription, hence no foreign key to it.
CREATE TABLE deliveries (
    id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    event_id        BLOB    NOT NULL,
    payload         INTEGER NOT NULL,
    subscription_id BLOB    NOT NULL CHECK (length(subscription_id) = 16),
    event_type      TEXT    NOT NULL,
    state           TEXT    NOT NULL DEFAULT 'pending',
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- While it is pending, and then always.
    due_at          INTEGER,
    -- Whether somebody has it in hand until `due_at`.
    claimed         INTEGER NOT NULL CHECK (claimed IN (0, 1)),
    last_outcome    TEXT,
    cause           TEXT,
    -- The last thing that went wrong with one that is dead, or why one was filtered.
    error           TEXT,
    -- The version of the script that made what is sent, or did not.
    script          TEXT,
    -- When its attempts began, the first time or anew, and how many were made before.
    series_at       INTEGER NOT NULL,
    earlier         INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    CHECK ((state = 'pending') = (due_at IS NOT NULL)),
    CHECK ((state = 'pending') = (finished_at IS NULL)),
    CHECK ((state = 'dead') = (cause IS NOT NULL)),
    CHECK ((state IN ('dead', 'filtered')) = (error IS NOT NULL)),
    FOREIGN KEY (event_id, payload) REFERENCES payloads (event_id, number) ON DELETE CASCADE
) STRICT;

CREATE INDEX deliveries_due ON deliveries (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_by_event ON deliveries (event_id, id);
CREATE INDEX deliveries_by_subscription ON deliveries (subscription_id, id);
-- Most deliveries are delivered: the indexes by state hold the others alone.
CREATE INDEX deliveries_by_state ON deliveries (state, id) WHERE state <> 'delivered';
CREATE INDEX deliveries_by_subscription_and_state ON deliveries (subscription_id, state, id)
    WHERE state <> 'delivered';

-- The ordered deliveries that are pending, in the order of their events.
CREATE TABLE lines (
    subscription_id BLOB    NOT NULL,
    subject         TEXT    NOT NULL,
    sequence        INTEGER NOT NULL,
    delivery_id     BLOB    NOT NULL UNIQUE REFERENCES deliveries (id) ON DELETE CASCADE,
    -- When its first attempt was to be made.
    earliest        INTEGER NOT NULL,
    PRIMARY KEY (subscription_id, subject, sequence, delivery_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    delivery_id      BLOB    NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number           INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    duration_us      INTEGER NOT NULL,
    outcome          TEXT    NOT NULL,
    status_code      INTEGER,
    response_excerpt TEXT,
    error            TEXT,
    PRIMARY KEY (delivery_id, number)
) STRICT;

CREATE TABLE subscriptions (
    id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pattern         TEXT    NOT NULL,
    url             TEXT    NOT NULL,
    -- JSON (`store/form.rs`)
    settings        TEXT    NOT NULL,
    -- JSON too, sealed (`store/seal.rs`)
    secrets         BLOB    NOT NULL,
    -- Since when its receiver does nothing but fail; its owner's changes begin that anew.
    failing_since   INTEGER,
    -- Until when its pace is given away (`deliver/slots.rs`).
    paced_until     INTEGER,
    UNIQUE (pattern, url)
) STRICT;

-- The texts of scripts by their versions, as deliveries name them.
CREATE TABLE scripts (
    version  TEXT    NOT NULL PRIMARY KEY,
    source   TEXT    NOT NULL,
    saved_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may do what. A token itself is kept nowhere. Rows are never deleted: where tokens were asked
-- for once, they are asked for for ever.
CREATE TABLE tokens (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name       TEXT    NOT NULL,
    -- Names of scopes, with spaces between.
    scopes     TEXT    NOT NULL,
    -- The SHA-256 of the token.
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- One row, rewritten to find out whether anything can be written.
CREATE TABLE pulse (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    beats    INTEGER NOT NULL
) STRICT;

INSERT INTO pulse (only_row, beats) VALUES (1, 0);
