PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE about (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
INSERT INTO about VALUES('written_by','0.1.0');
CREATE TABLE runs (
        number    INTEGER PRIMARY KEY,  -- in the order of creation
        id        TEXT    NOT NULL UNIQUE,
        undoes    TEXT,                 -- the run that it takes back, for an undo
        head_seq  INTEGER NOT NULL,     -- the last entry, and its hash
        head_hash BLOB    NOT NULL,
        ended_seq INTEGER,              -- the entry that says how it ended, if it has
        fence     INTEGER NOT NULL,     -- grows with every holder
        holder    TEXT,                 -- JSON
        heartbeat INTEGER               -- milliseconds since 1970
    ) STRICT;
INSERT INTO runs VALUES(1,'N6NB',NULL,9,X'77582ddaababe58d5b2bbac2e89fe1c77a2effc31eeb27d8822976d2f6e51d25',NULL,1,'{"pid":14148,"host":"vm","machine":"937dc8da-ef0c-4e93-91e2-718d7626e82e pid:[4026531836]","actor":"ana@contoso.com"}',1795257668759);
CREATE TABLE entries (
        key         INTEGER PRIMARY KEY, -- run number * 2^32 + seq
        address     TEXT    NOT NULL,
        position    INTEGER,
        kind        TEXT    NOT NULL,
        fingerprint TEXT    NOT NULL,
        facts       TEXT    NOT NULL,    -- canonical JSON
        value       TEXT    NOT NULL,    -- canonical JSON
        time        TEXT    NOT NULL,    -- RFC 3339
        hash        BLOB    NOT NULL
    ) STRICT;
INSERT INTO entries VALUES(4294967297,'',NULL,'run.created','','{"actor":"ana@contoso.com","inputs":{"app_name":"etl"},"mode":"run","parent":null,"plugin_digests":{"register":"abababababababababababababababababababababababababababababababab"},"seed":"0707070707070707070707070707070707070707070707070707070707070707","started_at":"1970-01-01T00:00:00Z","target":"dev","title":"Onboard an application","workflow":"onboard","workflow_digest":"f8090692cd4271b720b788a9f353b4b39df423c4ec9bb3943812b415b49f73e4"}','null','2026-11-21T10:41:08.757Z',X'526003629677f0e1e8c109f64a276b58e0bd41a749b43b044979232d2b17d8f4');
INSERT INTO entries VALUES(4294967298,'',NULL,'run.acquired','','{"fence":1,"holder":{"actor":"ana@contoso.com","host":"vm","machine":"937dc8da-ef0c-4e93-91e2-718d7626e82e pid:[4026531836]","pid":14148}}','null','2026-11-21T10:41:08.759Z',X'0d0b639c2092ea6a0292696e4c55fe9b15e28b1c9300f4ae5300026b7dcb4091');
INSERT INTO entries VALUES(4294967299,'',1,'outcome','clock','{"class":"read"}','{"a":[],"b":1.5}','2026-11-21T10:41:08.762Z',X'85f12f1a2bb16b70fa3cc62bf5dca128286e1a680daf56a08a9134b278ad0b6b');
INSERT INTO entries VALUES(4294967300,'',2,'step.started','register#1','null','null','2026-11-21T10:41:08.762Z',X'c24b333397c29a0be68b5f20cb0d7596cf52cf023bcdb7d82494c930df35881d');
INSERT INTO entries VALUES(4294967301,'register#1',1,'outcome','entra/applications.create etl','{"class":"read"}','"id-1"','2026-11-21T10:41:08.762Z',X'e754814b77a8a7e9f3b456ec423f38b15fa31265bcf85e05ff34504f89642a7e');
INSERT INTO entries VALUES(4294967302,'',3,'step.ended','next','null','{"address":"register#1","outcome":{"application_id":"id-1"}}','2026-11-21T10:41:08.762Z',X'90fd1998bd66fec29b7820a5f3e319cf672a3e91ad19229a5399fc962cfce2ba');
INSERT INTO entries VALUES(4294967303,'',4,'sleep','0 ms','null','"2026-11-21T10:41:08.763116341Z"','2026-11-21T10:41:08.763Z',X'44da16baf4574d5ecc3f6f48dd287d517614707dd39fed0db3d2a727ae828db4');
INSERT INTO entries VALUES(4294967304,'',5,'step.started','job#1','null','null','2026-11-21T10:41:08.763Z',X'048c7f1871aeeb8592c370daa05db5447c444424ad25cd5492684849799d0e88');
INSERT INTO entries VALUES(4294967305,'job#1',1,'outcome','databricks/jobs.create etl-smoke','{"class":"read"}','991','2026-11-21T10:41:08.763Z',X'77582ddaababe58d5b2bbac2e89fe1c77a2effc31eeb27d8822976d2f6e51d25');
CREATE TABLE sources (
        digest TEXT PRIMARY KEY,         -- SHA-256 of the text
        text   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
INSERT INTO sources VALUES('f8090692cd4271b720b788a9f353b4b39df423c4ec9bb3943812b415b49f73e4',replace('name = "onboard"\n','\n',char(10)));
CREATE TABLE sealed (
        run        INTEGER NOT NULL,
        name       TEXT    NOT NULL,
        ciphertext BLOB    NOT NULL,
        PRIMARY KEY (run, name)
    ) STRICT, WITHOUT ROWID;
CREATE INDEX undos ON runs (undoes) WHERE undoes IS NOT NULL;
COMMIT;
PRAGMA application_id=1280002642;
PRAGMA user_version=1;
