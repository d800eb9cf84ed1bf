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
INSERT INTO runs VALUES(1,'M0RG',NULL,9,X'c704f26c2fe6b3dcd53f873875a57e8598beac9bb1d3b8bb4aa5e5ab4e4a2456',NULL,1,'{"pid":4242,"host":"laptop","machine":"an earlier boot","actor":"ana@contoso.com"}',1795257966516);
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
INSERT INTO entries VALUES(4294967297,'',NULL,'run.created','','{"actor":"ana@contoso.com","inputs":{"app_name":"etl"},"mode":"run","parent":null,"plugin_digests":{"register":"abababababababababababababababababababababababababababababababab"},"seed":"0707070707070707070707070707070707070707070707070707070707070707","started_at":"1970-01-01T00:00:00Z","target":"dev","title":"Onboard an application","workflow":"onboard","workflow_digest":"f8090692cd4271b720b788a9f353b4b39df423c4ec9bb3943812b415b49f73e4"}','null','2026-11-21T10:46:06.513Z',X'7775640952b45af0352fd9442db39669602832d9e7d516ed3c8648fdbeab6979');
INSERT INTO entries VALUES(4294967298,'',NULL,'run.acquired','','{"fence":1,"holder":{"actor":"ana@contoso.com","host":"laptop","machine":"an earlier boot","pid":4242}}','null','2026-11-21T10:46:06.516Z',X'953c7cb47f4e93a5ed4437c941c0a473d9200dca101ce59be75cfddb1fc2cb58');
INSERT INTO entries VALUES(4294967299,'',1,'outcome','clock','{"class":"read"}','{"a":[],"b":1.5}','2026-11-21T10:46:06.528Z',X'20cbb934cd4c579d86ebd19b5164cff225d0152c73d69447689a2390eb87866f');
INSERT INTO entries VALUES(4294967300,'',2,'step.started','register#1','null','null','2026-11-21T10:46:06.528Z',X'b6361e94ca67a5881b139ce2b6e8095dedaf7fa4484fbd59ed833f9ca44c8bc8');
INSERT INTO entries VALUES(4294967301,'register#1',1,'outcome','entra/applications.create etl','{"class":"read"}','"id-1"','2026-11-21T10:46:06.529Z',X'30706b6c6a6636ccfcc95dec70861a33cf72edc346c1d18db4d6554195a96a0e');
INSERT INTO entries VALUES(4294967302,'',3,'step.ended','next','null','{"address":"register#1","outcome":{"application_id":"id-1"}}','2026-11-21T10:46:06.53Z',X'5ed1c4d7005cdd8a2ceb26e90c4f64e8fe4e816d26f5d6e35be0dce522e51572');
INSERT INTO entries VALUES(4294967303,'',4,'sleep','0 ms','null','"2026-11-21T10:46:06.530255806Z"','2026-11-21T10:46:06.53Z',X'abad0bc0a4b5d74f86a5f8625ff5c09ac63d263fcf5a14f90c19a39c4f5d1800');
INSERT INTO entries VALUES(4294967304,'',5,'step.started','job#1','null','null','2026-11-21T10:46:06.53Z',X'1c4c78ccc04a98cda80f60996c5b10f5c048c292b1b86d00ddd57d8f7a8e3c6a');
INSERT INTO entries VALUES(4294967305,'job#1',1,'outcome','databricks/jobs.create etl-smoke','{"class":"read"}','991','2026-11-21T10:46:06.531Z',X'c704f26c2fe6b3dcd53f873875a57e8598beac9bb1d3b8bb4aa5e5ab4e4a2456');
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
