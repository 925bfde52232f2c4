PRAGMA application_id=1383429709;
PRAGMA user_version=5;
BEGIN TRANSACTION;
CREATE TABLE access (
            memory_id INTEGER PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE,
            count INTEGER NOT NULL,
            accessed_at REAL NOT NULL);
INSERT INTO "access" VALUES(1,1,1.79526425251578903197e+09);
INSERT INTO "access" VALUES(2,1,1.79526425251578903197e+09);
INSERT INTO "access" VALUES(3,1,1.79526425251578903197e+09);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "counters" VALUES('seq',5);
CREATE TABLE embedders (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE);
INSERT INTO "embedders" VALUES(1,'words-1');
CREATE TABLE feedback (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            request_id TEXT NOT NULL REFERENCES trajectories (request_id) ON DELETE CASCADE,
            at REAL NOT NULL,
            client TEXT NOT NULL,
            rating INTEGER,
            relevant TEXT NOT NULL,
            irrelevant TEXT NOT NULL,
            correction TEXT,
            correction_id INTEGER,
            task_success INTEGER,
            question INTEGER,
            voted BLOB NOT NULL,
            votes BLOB NOT NULL,
            counts BLOB NOT NULL,
            shown INTEGER NOT NULL,
            right INTEGER NOT NULL, step_names TEXT NOT NULL DEFAULT '', step BLOB NOT NULL DEFAULT x'');
CREATE TABLE identity (value TEXT NOT NULL);
INSERT INTO "identity" VALUES('26ad278e193c3a28b0521286237e5bcc');
CREATE TABLE learning_state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE links (
            a INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
            b INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            weight REAL NOT NULL,
            PRIMARY KEY (a, b, kind)) WITHOUT ROWID;
INSERT INTO "links" VALUES(1,2,'related',0.5);
CREATE TABLE memories (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            seq INTEGER NOT NULL,
            namespace_id INTEGER NOT NULL REFERENCES namespaces (id),
            content_hash BLOB NOT NULL,
            content TEXT NOT NULL,
            metadata TEXT NOT NULL,
            kind TEXT NOT NULL,
            importance REAL NOT NULL,
            source TEXT NOT NULL,
            client TEXT NOT NULL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            expires_at REAL, trust INTEGER NOT NULL DEFAULT 1,
            UNIQUE (namespace_id, content_hash));
INSERT INTO "memories" VALUES(1,1,1,X'82A4AC6B6EEC2A27EDD35DA9FE738C1E','Releases go out on Tuesdays','{"topic":"release","title":"Plan"}','note',0.9,'plan.md','shell',1.79526425235150647163e+09,1.79526425235150647163e+09,NULL,2);
INSERT INTO "memories" VALUES(2,2,1,X'F24E42DBED9E85CE551CEBD759FB4047','The cache is flushed at midnight — ünïcode','{"n":[1,2]}','failure',0.5,'','claude-code',1.79526425235150647163e+09,1.79526425235150647163e+09,NULL,1);
INSERT INTO "memories" VALUES(3,3,2,X'65FC141337E87829ACE7252B743F447F','Said in passing','{}','note',0.5,'','',1.79526425235150647163e+09,1.79526425235150647163e+09,2.79526425235150623323e+09,2);
CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at REAL NOT NULL);
INSERT INTO "migrations" VALUES('first_schema',1.79526425232782149317e+09);
INSERT INTO "migrations" VALUES('trajectories_and_feedback',1.79526425232782149317e+09);
INSERT INTO "migrations" VALUES('identity',1.79526425232782149317e+09);
INSERT INTO "migrations" VALUES('learned_versions',1.79526425232782149317e+09);
INSERT INTO "migrations" VALUES('trust_and_limits',1.79526710354769635197e+09);
CREATE TABLE namespaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, memories INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, max_memories INTEGER, max_bytes INTEGER, token_bits INTEGER NOT NULL DEFAULT 1);
INSERT INTO "namespaces" VALUES(1,'here',2,118,NULL,NULL,1);
INSERT INTO "namespaces" VALUES(2,'there',1,17,NULL,NULL,1);
CREATE TABLE terms (
            memory_id INTEGER PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE,
            analysis INTEGER NOT NULL,
            postings BLOB NOT NULL);
INSERT INTO "terms" VALUES(1,1,X'7D5B5ADD44CEFC2C569368B6996DEAB9F9B01DEC01000100010001000100');
INSERT INTO "terms" VALUES(2,1,X'E8F77B4CAF54E1B4F3D67F74D569D963D2A308780B2867E798301577AA54C90E01000100010001000100010001000100');
INSERT INTO "terms" VALUES(3,1,X'D6043BEF24D470CE01000100');
CREATE TABLE tokens (
            embedder_id INTEGER NOT NULL REFERENCES embedders (id),
            memory_id INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
            ids BLOB NOT NULL,
            bits BLOB NOT NULL,
            UNIQUE (memory_id, embedder_id));
INSERT INTO "tokens" VALUES(1,1,X'0D400000313A0000761A000009480000780C0000E30C0000',X'44D5317B8196');
INSERT INTO "tokens" VALUES(1,2,X'060C0000074D000007400000D60000006C530000231400008A3A00003A150000',X'6AC31F605A01C5E0');
INSERT INTO "tokens" VALUES(1,3,X'C63000000E4800001A320000',X'7D2BCA');
CREATE TABLE tombstones (seq INTEGER PRIMARY KEY, memory_id INTEGER NOT NULL);
INSERT INTO "tombstones" VALUES(5,4);
CREATE TABLE trajectories (
            request_id TEXT PRIMARY KEY,
            at REAL NOT NULL,
            client TEXT NOT NULL,
            namespaces TEXT NOT NULL,
            query TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            vector BLOB NOT NULL,
            part_names TEXT NOT NULL,
            ids BLOB NOT NULL,
            parts BLOB NOT NULL,
            shown BLOB NOT NULL,
            version INTEGER NOT NULL);
CREATE TABLE vectors (
            embedder_id INTEGER NOT NULL REFERENCES embedders (id),
            memory_id INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
            vector BLOB NOT NULL,
            UNIQUE (memory_id, embedder_id));
INSERT INTO "vectors" VALUES(1,1,X'20A0BC3EE2B015BF58BF14BE8B2591BEFEE0E23E6AED9FBEAFCCB5BEE0C6F4BC');
INSERT INTO "vectors" VALUES(1,2,X'9EB1DDBDD04A8E3EB2C90FBF3FE084BEA47016BFEE98E6BD5ED3753E90C8ABBE');
INSERT INTO "vectors" VALUES(1,3,X'430E4E3E8DF0D83E810492BEE659FC3EAB5419BF7D5C323E70C96D3E78F7E63D');
CREATE TABLE versions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            created_at REAL NOT NULL,
            kind TEXT NOT NULL,
            label TEXT NOT NULL,
            parent INTEGER NOT NULL,
            status TEXT NOT NULL,
            metrics TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            blob BLOB NOT NULL);
CREATE UNIQUE INDEX memories_by_seq ON memories (seq);
CREATE INDEX links_by_b ON links (b);
CREATE INDEX feedback_by_request ON feedback (request_id);
CREATE INDEX terms_by_analysis ON terms (analysis);
CREATE TRIGGER memories_added AFTER INSERT ON memories BEGIN UPDATE namespaces SET memories = memories + 1, bytes = bytes + (
    length(CAST(NEW.content AS BLOB)) + length(CAST(NEW.metadata AS BLOB))) WHERE id = NEW.namespace_id; END;
CREATE TRIGGER memories_deleted AFTER DELETE ON memories BEGIN UPDATE namespaces SET memories = memories - 1, bytes = bytes - (
    length(CAST(OLD.content AS BLOB)) + length(CAST(OLD.metadata AS BLOB))) WHERE id = OLD.namespace_id; END;
CREATE TRIGGER memories_changed AFTER UPDATE OF content, metadata, namespace_id ON memories BEGIN UPDATE namespaces SET memories = memories - 1, bytes = bytes - (
    length(CAST(OLD.content AS BLOB)) + length(CAST(OLD.metadata AS BLOB))) WHERE id = OLD.namespace_id; UPDATE namespaces SET memories = memories + 1, bytes = bytes + (
    length(CAST(NEW.content AS BLOB)) + length(CAST(NEW.metadata AS BLOB))) WHERE id = NEW.namespace_id; END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('memories',4);
COMMIT;
