-- What survives: events, deliveries, attempts, subscriptions, tokens.
--
-- Ids are uuids, whose order is the order of time. Instants are microseconds since the Unix epoch,
-- durations microseconds. States, outcomes and causes are stored under their names. Text that
-- others wrote is stored as the bytes of its UTF-8, since text here cannot hold U+0000; what is
-- compared as text is compared byte by byte ("C"), whatever the locale of the database.
--
-- No foreign keys between what every event and delivery passes through: each would cost a
-- look-up and a lock for each row. What belongs together is written by one statement, and
-- deleted by one transaction.
--
-- The plans of all statements are tested as they come out without and with statistics.

-- Events never change. That one waits for its deliveries is said in `undispatched`, so that
-- dispatching does not rewrite the event.
-- Counts the statements that store events. An event's sequence is its number and the event's place
-- in it: greater than that of all that were stored before it began.
CREATE SEQUENCE appends;

CREATE TABLE events (
    id        uuid   NOT NULL PRIMARY KEY,
    sequence  bigint NOT NULL,
    stored_at bigint NOT NULL,
    time_us   bigint NOT NULL,
    -- How much later the event happened than its id says.
    skew_us   bigint NOT NULL,
    type      text   COLLATE "C" NOT NULL,
    source    bytea  NOT NULL,
    subject   bytea,
    -- The event as it travels from gateway to sidecar, without its source.
    frame     bytea  NOT NULL,
    -- What all requests have in common by which a client asked for the same write.
    idempotency bytea
);

CREATE INDEX events_by_type ON events (type, id);
CREATE UNIQUE INDEX events_by_idempotency ON events (idempotency) WHERE idempotency IS NOT NULL;
-- Of its beginning: there is no limit to what an API may use for an id, and there is one to what
-- an index holds.
CREATE INDEX events_by_subject ON events (substr(subject, 1, 64), id) WHERE subject IS NOT NULL;
-- Events in the order of their ids are nearly in the order of their times. How nearly, is said
-- by the few that are more than a second late.
CREATE INDEX events_late ON events (skew_us) WHERE skew_us > 1000000;

-- Events without their deliveries: a queue. Its rows live for a moment, so that nearly all of the
-- table is always dead: it is vacuumed by the count of dead rows, whatever its size, and at once.
-- A lease touches no index, and finds room on its page.
CREATE TABLE undispatched (
    event_id uuid    NOT NULL PRIMARY KEY,
    due_at   bigint  NOT NULL,
    -- Whether somebody has it in hand until `due_at`.
    claimed  boolean NOT NULL
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0
);

-- What is sent. The deliveries of one event often share one. One without a content type is still to
-- be made, by the subscription's script, and belongs to one delivery.
CREATE TABLE payloads (
    event_id     uuid    NOT NULL,
    number       integer NOT NULL,
    content_type bytea   NOT NULL,
    -- JSON: [[name, value], …], if there are any
    headers      bytea,
    body         bytea   NOT NULL,
    PRIMARY KEY (event_id, number)
);

-- Deliveries that an attempt is due for, now or later: a queue too. A delivery leaves for
-- `finished_deliveries` when it is finished. So the large table is only ever added to: none of
-- its rows dies before its time is up, and what changes all the time is small.
CREATE TABLE pending_deliveries (
    id              uuid    NOT NULL PRIMARY KEY,
    event_id        uuid    NOT NULL,
    -- A delivery may outlive its subscription.
    subscription_id uuid    NOT NULL,
    created_at      bigint  NOT NULL,
    due_at          bigint  NOT NULL,
    attempts        bigint  NOT NULL,
    payload         integer NOT NULL,
    -- Whether somebody has it in hand until `due_at`.
    claimed         boolean NOT NULL,
    event_type      text    COLLATE "C" NOT NULL,
    last_outcome    text    COLLATE "C",
    -- When its attempts began, the first time or anew, and how many were made before.
    series_at       bigint  NOT NULL DEFAULT 0,
    earlier         bigint  NOT NULL DEFAULT 0,
    -- The version of the script that made what is sent.
    script          text    COLLATE "C"
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX pending_deliveries_due ON pending_deliveries (due_at, id);
CREATE INDEX pending_deliveries_by_event ON pending_deliveries (event_id, id);
CREATE INDEX pending_deliveries_by_subscription ON pending_deliveries (subscription_id, id);

-- Deliveries that nothing follows on.
CREATE TABLE finished_deliveries (
    id              uuid    NOT NULL PRIMARY KEY,
    event_id        uuid    NOT NULL,
    subscription_id uuid    NOT NULL,
    created_at      bigint  NOT NULL,
    finished_at     bigint  NOT NULL,
    attempts        bigint  NOT NULL,
    payload         integer NOT NULL,
    event_type      text    COLLATE "C" NOT NULL,
    state           text    COLLATE "C" NOT NULL CHECK (state <> 'pending'),
    last_outcome    text    COLLATE "C",
    cause           text    COLLATE "C",
    -- The last thing that went wrong with one that is dead, or why one was filtered.
    error           bytea,
    script          text    COLLATE "C",
    CHECK ((state = 'dead') = (cause IS NOT NULL)),
    CHECK ((state IN ('dead', 'filtered')) = (error IS NOT NULL))
);

CREATE INDEX finished_deliveries_by_event ON finished_deliveries (event_id, id);
CREATE INDEX finished_deliveries_by_subscription ON finished_deliveries (subscription_id, id);
-- Most deliveries are delivered: the indexes by state hold the others alone.
CREATE INDEX finished_deliveries_by_state ON finished_deliveries (state, id)
    WHERE state <> 'delivered';
CREATE INDEX finished_deliveries_by_subscription_and_state
    ON finished_deliveries (subscription_id, state, id) WHERE state <> 'delivered';

-- The ordered deliveries that are pending, in the order of their events. Subjects by their hashes:
-- there is no limit to their length, and to have the same one only means to wait too.
CREATE TABLE lines (
    subscription_id uuid   NOT NULL,
    subject         bigint NOT NULL,
    sequence        bigint NOT NULL,
    delivery_id     uuid   NOT NULL UNIQUE,
    -- When its first attempt was to be made.
    earliest        bigint NOT NULL,
    PRIMARY KEY (subscription_id, subject, sequence, delivery_id)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE TABLE attempts (
    delivery_id      uuid    NOT NULL,
    number           bigint  NOT NULL,
    started_at       bigint  NOT NULL,
    duration_us      bigint  NOT NULL,
    status_code      integer,
    outcome          text    COLLATE "C" NOT NULL,
    response_excerpt bytea,
    error            bytea,
    PRIMARY KEY (delivery_id, number)
);

CREATE TABLE subscriptions (
    id              uuid      NOT NULL PRIMARY KEY,
    pattern         text      COLLATE "C" NOT NULL,
    url             text      COLLATE "C" NOT NULL,
    -- JSON (`store/form.rs`)
    settings        text      NOT NULL,
    -- JSON too, sealed (`store/seal.rs`)
    secrets         bytea     NOT NULL,
    -- Since when its receiver does nothing but fail; its owner's changes begin that anew.
    failing_since   bigint,
    -- Until when its pace is given away (`deliver/slots.rs`).
    paced_until     bigint,
    UNIQUE (pattern, url)
);

-- How many changes of subscriptions there were. Whoever changes one holds this row until the
-- change is committed, so that the numbers are given out in the order of the commits.
CREATE TABLE subscription_changes (
    only_row boolean NOT NULL PRIMARY KEY CHECK (only_row),
    count    bigint  NOT NULL
) WITH (fillfactor = 10);

INSERT INTO subscription_changes (only_row, count) VALUES (true, 0);

-- Tells every sidecar of each change, whoever made it: its number and the subscription. How its
-- receiver fares is no change.
CREATE FUNCTION tell_of_subscription_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.pattern, NEW.url, NEW.settings, NEW.secrets)
            IS NOT DISTINCT FROM (OLD.pattern, OLD.url, OLD.settings, OLD.secrets) THEN
        RETURN NULL;
    END IF;
    UPDATE subscription_changes SET count = count + 1 RETURNING count INTO number;
    PERFORM pg_notify('sidehook_subscriptions',
                      number || ' ' || CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END);
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_of_subscription_change AFTER INSERT OR UPDATE OR DELETE ON subscriptions
    FOR EACH ROW EXECUTE FUNCTION tell_of_subscription_change();

-- The texts of scripts by their versions, as deliveries name them.
CREATE TABLE scripts (
    version  text   COLLATE "C" NOT NULL PRIMARY KEY,
    source   bytea  NOT NULL,
    saved_at bigint NOT NULL
);

-- Who may do what. A token itself is kept nowhere. Rows are never deleted: where tokens were asked
-- for once, they are asked for for ever.
CREATE TABLE tokens (
    id         uuid   NOT NULL PRIMARY KEY,
    name       bytea  NOT NULL,
    -- Names of scopes, with spaces between.
    scopes     text   NOT NULL,
    -- The SHA-256 of the token.
    digest     bytea  NOT NULL CHECK (length(digest) = 32),
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);

-- One row, rewritten to find out whether anything can be written.
CREATE TABLE pulse (
    only_row boolean NOT NULL PRIMARY KEY CHECK (only_row),
    beats    bigint  NOT NULL
) WITH (fillfactor = 10);

INSERT INTO pulse (only_row, beats) VALUES (true, 0);

-- Written to and rolled back to find out whether a disk that was full has room again: nothing is
-- ever in it, and what takes its room must not be made small.
CREATE TABLE room (
    filler text NOT NULL
);

ALTER TABLE room ALTER COLUMN filler SET STORAGE PLAIN;
