-- Building instructions ("MOCs") with what hangs on them, as an application declares it.
CREATE TABLE moc_instructions (
    id            bigint PRIMARY KEY,
    title         text NOT NULL DEFAULT 'MOC',
    thumbnail_url text,
    deleted_at    timestamptz
);
CREATE INDEX moc_instructions_deleted_at ON moc_instructions (deleted_at);

CREATE TABLE moc_files (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    moc_id bigint NOT NULL REFERENCES moc_instructions ON DELETE CASCADE,
    s3_key text
);
CREATE INDEX ON moc_files (moc_id);

CREATE TABLE moc_parts_lists (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    moc_id bigint NOT NULL REFERENCES moc_instructions ON DELETE CASCADE
);
CREATE INDEX ON moc_parts_lists (moc_id);

CREATE TABLE moc_parts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parts_list_id bigint REFERENCES moc_parts_lists ON DELETE CASCADE,
    status        text NOT NULL DEFAULT 'used'
);
CREATE INDEX ON moc_parts (parts_list_id);

CREATE TABLE gallery_images (
    id            bigint PRIMARY KEY,
    image_url     text,
    thumbnail_url text
);

CREATE TABLE moc_gallery_images (
    moc_id           bigint NOT NULL REFERENCES moc_instructions ON DELETE CASCADE,
    gallery_image_id bigint NOT NULL REFERENCES gallery_images ON DELETE CASCADE,
    PRIMARY KEY (moc_id, gallery_image_id)
);
CREATE INDEX ON moc_gallery_images (gallery_image_id);

CREATE TABLE gallery_albums (
    id    bigint PRIMARY KEY,
    title text NOT NULL
);

CREATE TABLE moc_gallery_albums (
    moc_id   bigint NOT NULL REFERENCES moc_instructions ON DELETE CASCADE,
    album_id bigint NOT NULL REFERENCES gallery_albums ON DELETE CASCADE,
    PRIMARY KEY (moc_id, album_id)
);
CREATE INDEX ON moc_gallery_albums (album_id);

CREATE TABLE upload_sessions (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    moc_instruction_id bigint REFERENCES moc_instructions
);
CREATE INDEX ON upload_sessions (moc_instruction_id);
