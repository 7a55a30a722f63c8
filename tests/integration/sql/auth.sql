-- The tables of an auth library: text ids, timestamps without time zone that hold UTC.
CREATE TABLE "user" (
    id           text PRIMARY KEY,
    name         text NOT NULL,
    email        text NOT NULL UNIQUE,
    is_anonymous boolean DEFAULT false,
    created_at   timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    updated_at   timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);
CREATE INDEX user_created_at ON "user" (created_at);
CREATE INDEX user_is_anonymous ON "user" (is_anonymous);
CREATE TABLE session (
    id         text PRIMARY KEY,
    user_id    text NOT NULL REFERENCES "user" ON DELETE CASCADE,
    token      text NOT NULL UNIQUE,
    created_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    updated_at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    expires_at timestamp NOT NULL
);
CREATE INDEX session_user_id ON session (user_id);
CREATE INDEX session_created_at ON session (created_at);
CREATE TABLE account (
    id          text PRIMARY KEY,
    user_id     text NOT NULL REFERENCES "user" ON DELETE CASCADE,
    provider_id text NOT NULL,
    created_at  timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    updated_at  timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);
CREATE INDEX account_user_id ON account (user_id);
CREATE INDEX account_created_at ON account (created_at);
