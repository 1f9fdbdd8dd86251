BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'flowkit','0001_tables','2026-11-20 18:04:27.921748+00:00');
CREATE TABLE archive (
  run INTEGER NOT NULL REFERENCES runs(seq),
  seq INTEGER NOT NULL,
  parent INTEGER NOT NULL,
  location TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  round INTEGER NOT NULL,
  created_at REAL NOT NULL,
  started_at REAL,
  settled_at REAL,
  due_at REAL,
  rollback TEXT NOT NULL,
  source TEXT NOT NULL,
  size INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  args_crc INTEGER NOT NULL,
  output TEXT,
  error TEXT,
  patch TEXT,
  args TEXT,
  by_hand TEXT,
  archived_at REAL NOT NULL,
  why TEXT NOT NULL,
  at_head INTEGER NOT NULL
);
INSERT INTO "archive" VALUES(8,2,0,'book','step','completed',1,0,1767225600.0,1767225600.0,1.76722560000000023837e+09,NULL,'owes','tests/torture/upgrade.py:99',28,3728059118683459258,3015490052,'"booked room"',NULL,'{"set":{"booked":"room"},"gone":[]}','{"what":"room"}',NULL,1767236400.0,'replay',2);
CREATE TABLE attempts (
  run INTEGER NOT NULL REFERENCES runs(seq),
  entry INTEGER NOT NULL,
  part TEXT NOT NULL,
  round INTEGER NOT NULL,
  n INTEGER NOT NULL,
  started_at REAL NOT NULL,
  ended_at REAL NOT NULL,
  retry_at REAL,
  error TEXT
);
INSERT INTO "attempts" VALUES(3,3,'step',0,1,1767225600.0,1767225600.0,NULL,'{"type":"flowkit.errors.CriticalError","message":"no such account","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 92, in doom\n    raise CriticalError(\"no such account\")\nflowkit.errors.CriticalError: no such account\n"}');
INSERT INTO "attempts" VALUES(3,2,'rollback',0,1,1767225600.0,1767225600.0,1767225600.2,'{"type":"LookupError","message":"the hotel does not answer","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 65, in unbook\n    raise LookupError(\"the hotel does not answer\")\nLookupError: the hotel does not answer\n"}');
INSERT INTO "attempts" VALUES(2,3,'step',0,1,1767225600.0,1767225600.0,NULL,'{"type":"flowkit.errors.CriticalError","message":"no such account","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 92, in doom\n    raise CriticalError(\"no such account\")\nflowkit.errors.CriticalError: no such account\n"}');
INSERT INTO "attempts" VALUES(2,2,'rollback',0,1,1767225600.0,1767225600.0,1767225600.2,'{"type":"LookupError","message":"the hotel does not answer","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 65, in unbook\n    raise LookupError(\"the hotel does not answer\")\nLookupError: the hotel does not answer\n"}');
INSERT INTO "attempts" VALUES(2,2,'rollback',0,2,1767229200.0,1767229200.0,1767229200.4,'{"type":"LookupError","message":"the hotel does not answer","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 65, in unbook\n    raise LookupError(\"the hotel does not answer\")\nLookupError: the hotel does not answer\n"}');
INSERT INTO "attempts" VALUES(2,2,'rollback',0,3,1767232800.0,1767232800.0,1767232800.8,'{"type":"LookupError","message":"the hotel does not answer","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 65, in unbook\n    raise LookupError(\"the hotel does not answer\")\nLookupError: the hotel does not answer\n"}');
INSERT INTO "attempts" VALUES(2,2,'rollback',0,4,1767236400.0,1767236400.0,NULL,'{"type":"LookupError","message":"the hotel does not answer","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 65, in unbook\n    raise LookupError(\"the hotel does not answer\")\nLookupError: the hotel does not answer\n"}');
INSERT INTO "attempts" VALUES(10,1,'step',0,1,1767236400.0,1767236400.0,1767236420.0,'{"type":"TimeoutError","message":"no answer","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 79, in flaky\n    raise TimeoutError(\"no answer\")\nTimeoutError: no answer\n"}');
CREATE TABLE bulks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  finished_at REAL,
  state TEXT NOT NULL,
  verb TEXT NOT NULL,
  who TEXT NOT NULL,
  picks TEXT NOT NULL,
  top INTEGER NOT NULL,
  expected INTEGER NOT NULL,
  more INTEGER NOT NULL,
  position INTEGER NOT NULL,
  done INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  skipped INTEGER NOT NULL,
  reasons TEXT NOT NULL,
  plan TEXT NOT NULL,
  holder TEXT NOT NULL,
  held_until REAL NOT NULL,
  step TEXT,
  name TEXT,
  key TEXT,
  crc INTEGER NOT NULL,
  body TEXT
);
CREATE TABLE codes (code TEXT PRIMARY KEY, at REAL NOT NULL, manifest TEXT NOT NULL);
CREATE TABLE entries (
  run INTEGER NOT NULL REFERENCES runs(seq),
  seq INTEGER NOT NULL,
  parent INTEGER NOT NULL,
  location TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  round INTEGER NOT NULL,
  created_at REAL NOT NULL,
  started_at REAL,
  settled_at REAL,
  due_at REAL,
  rollback TEXT NOT NULL,
  source TEXT NOT NULL,
  size INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  args_crc INTEGER NOT NULL,
  output TEXT,
  error TEXT,
  patch TEXT,
  args TEXT,
  by_hand TEXT
);
INSERT INTO "entries" VALUES(1,1,0,'begin','checkpoint','completed',0,0,1767225600.0,NULL,1767225600.0,NULL,'','tests/torture/upgrade.py:98',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(1,2,0,'book','step','completed',1,0,1767225600.0,1767225600.0,1.76722560000000023837e+09,NULL,'owes','tests/torture/upgrade.py:99',28,3728059118683459258,3015490052,'"booked room"',NULL,'{"set":{"booked":"room"},"gone":[]}','{"what":"room"}',NULL);
INSERT INTO "entries" VALUES(8,1,0,'begin','checkpoint','completed',0,0,1767225600.0,NULL,1767225600.0,NULL,'','tests/torture/upgrade.py:98',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(4,1,0,'begin','checkpoint','completed',0,0,1767225600.0,NULL,1767225600.0,NULL,'','tests/torture/upgrade.py:98',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(4,2,0,'book','step','completed',1,0,1767225600.0,1767225600.0,1.76722560000000023837e+09,NULL,'owes','tests/torture/upgrade.py:99',28,3728059118683459258,3015490052,'"booked room"',NULL,'{"set":{"booked":"room"},"gone":[]}','{"what":"room"}',NULL);
INSERT INTO "entries" VALUES(4,3,0,'sleep','sleep','pending',0,0,1767225600.0,NULL,NULL,1767229200.0,'','tests/torture/upgrade.py:104',0,828265950,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(5,1,0,'begin','checkpoint','completed',0,0,1767225600.0,NULL,1767225600.0,NULL,'','tests/torture/upgrade.py:98',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(5,2,0,'book','step','completed',1,0,1767225600.0,1767225600.0,1.76722560000000023837e+09,NULL,'owes','tests/torture/upgrade.py:99',28,3728059118683459258,3015490052,'"booked room"',NULL,'{"set":{"booked":"room"},"gone":[]}','{"what":"room"}',NULL);
INSERT INTO "entries" VALUES(5,3,0,'more','message','pending',0,0,1767225600.0,NULL,NULL,1767830400.0,'','tests/torture/upgrade.py:106',28,4257292997,0,'{"names":["more"],"count":0}',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(9,1,0,'begin','checkpoint','completed',0,0,1767225600.0,NULL,1767225600.0,NULL,'','tests/torture/upgrade.py:98',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(9,2,0,'book','step','completed',1,0,1767225600.0,1767225600.0,1.76722560000000023837e+09,NULL,'owes','tests/torture/upgrade.py:99',28,3728059118683459258,3015490052,'"booked room"',NULL,'{"set":{"booked":"room"},"gone":[]}','{"what":"room"}',NULL);
INSERT INTO "entries" VALUES(9,3,0,'more','message','cancelled',0,0,1767225600.0,NULL,1767236400.0,1767830400.0,'','tests/torture/upgrade.py:106',28,4257292997,0,'{"names":["more"],"count":0}',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(3,1,0,'begin','checkpoint','completed',0,0,1767225600.0,NULL,1767225600.0,NULL,'','tests/torture/upgrade.py:98',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(3,2,0,'book','step','completed',1,0,1767225600.0,1767225600.0,1.76722560000000023837e+09,NULL,'owes','tests/torture/upgrade.py:99',28,3728059118683459258,3015490052,'"booked room"',NULL,'{"set":{"booked":"room"},"gone":[]}','{"what":"room"}',NULL);
INSERT INTO "entries" VALUES(3,3,0,'doom','step','failed',1,0,1767225600.0,1767225600.0,1.76722560000000047681e+09,NULL,'','tests/torture/upgrade.py:102',268,2568950933477001550,2745614147,NULL,'{"type":"flowkit.errors.CriticalError","message":"no such account","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 92, in doom\n    raise CriticalError(\"no such account\")\nflowkit.errors.CriticalError: no such account\n"}',NULL,'{}',NULL);
INSERT INTO "entries" VALUES(2,1,0,'begin','checkpoint','completed',0,0,1767225600.0,NULL,1767225600.0,NULL,'','tests/torture/upgrade.py:98',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(2,2,0,'book','step','completed',1,0,1767225600.0,1767225600.0,1.76722560000000023837e+09,NULL,'owes','tests/torture/upgrade.py:99',28,3728059118683459258,3015490052,'"booked room"',NULL,'{"set":{"booked":"room"},"gone":[]}','{"what":"room"}',NULL);
INSERT INTO "entries" VALUES(2,3,0,'doom','step','failed',1,0,1767225600.0,1767225600.0,1.76722560000000047681e+09,NULL,'','tests/torture/upgrade.py:102',268,2568950933477001550,2745614147,NULL,'{"type":"flowkit.errors.CriticalError","message":"no such account","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 92, in doom\n    raise CriticalError(\"no such account\")\nflowkit.errors.CriticalError: no such account\n"}',NULL,'{}',NULL);
INSERT INTO "entries" VALUES(10,1,0,'flaky','step','retrying',1,0,1767236400.0,1767236400.0,NULL,1767236420.0,'','tests/torture/upgrade.py:113',218,2568950933517832423,2745614147,NULL,'{"type":"TimeoutError","message":"no answer","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 79, in flaky\n    raise TimeoutError(\"no answer\")\nTimeoutError: no answer\n"}',NULL,'{}',NULL);
INSERT INTO "entries" VALUES(11,1,0,'begin','checkpoint','completed',0,0,1767236400.0,NULL,1767236400.0,NULL,'','tests/torture/upgrade.py:131',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(11,2,0,'both','join','completed',0,0,1767236400.0,NULL,1.76723640000000071529e+09,NULL,'','tests/torture/upgrade.py:132',85,374593461,0,'{"names":["now","later"],"done":{"now":{"value":"booked car"},"later":{"value":"k"}}}',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(11,3,2,'both/now/book','step','completed',1,0,1767236400.0,1767236400.0,1.76723640000000023842e+09,NULL,'owes','tests/torture/upgrade.py:132',26,8088108890768229918,4030643246,'"booked car"',NULL,'{"set":{"booked":"car"},"gone":[]}','{"what":"car"}',NULL);
INSERT INTO "entries" VALUES(11,4,2,'both/later/key','message','completed',0,0,1767236400.0,NULL,1.76723640000000047686e+09,NULL,'','tests/torture/upgrade.py:132',121,1529077118,0,'[{"number":1,"id":"5518d87d4c1749eeae05d2550ddfe059","name":"key","sent_at":1767236400.0,"data":"k","completable":false}]',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(11,5,0,'first','race','completed',0,0,1767236400.0,NULL,1.76723640000000119208e+09,NULL,'','tests/torture/upgrade.py:133',69,3746348408,0,'{"names":["fast","slow"],"done":{"fast":{"value":2}},"winner":"fast"}',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(11,6,5,'first/fast/v','version','completed',0,0,1767236400.0,NULL,1.76723640000000095369e+09,NULL,'','tests/torture/upgrade.py:133',23,835994138,0,'{"answer":2,"latest":2}',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(11,7,0,'rounds','loop','running',2,0,1767236400.0,NULL,NULL,NULL,'','tests/torture/upgrade.py:134',45,2067641246,0,'{"turn":2,"state":[1,2],"pruned":1,"kept":{}}',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(11,9,7,'rounds/~1/number','message','completed',0,0,1767236400.0,NULL,1.76723640000000166896e+09,NULL,'','tests/torture/upgrade.py:128',122,4015998993,0,'[{"number":3,"id":"8f1c586bb54c4812a06adf76445d3bc4","name":"number","sent_at":1767236400.0,"data":2,"completable":false}]',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(11,10,7,'rounds/~2/number','message','pending',0,0,1767236400.0,NULL,NULL,NULL,'','tests/torture/upgrade.py:128',30,4068891468,0,'{"names":["number"],"count":0}',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(12,1,0,'question','message','completed',0,0,1767236400.0,NULL,1767236400.0,NULL,'','tests/torture/upgrade.py:140',127,950487829,0,'[{"number":1,"id":"a5d5d73d8ef242c385a1aa134e5336b5","name":"question","sent_at":1767236400.0,"data":"why","completable":true}]',NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(12,2,0,'sleep','sleep','pending',0,0,1767236400.0,NULL,NULL,1767240000.0,'','tests/torture/upgrade.py:141',0,828265950,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(13,1,0,'begin','checkpoint','completed',0,0,1767236400.0,NULL,1767236400.0,NULL,'','tests/torture/upgrade.py:149',0,303424060,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(13,2,0,'book','step','completed',1,0,1767236400.0,1767236400.0,1.76723640000000023842e+09,NULL,'owes','tests/torture/upgrade.py:150',28,4846532164131817825,1128421203,'"booked boat"',NULL,'{"set":{"booked":"boat"},"gone":[]}','{"what":"boat"}',NULL);
INSERT INTO "entries" VALUES(14,1,0,'once','step','running',1,0,1767236400.0,1767236400.0,NULL,NULL,'','tests/torture/upgrade.py:119',2,2568950933234282080,2745614147,NULL,NULL,NULL,'{}',NULL);
CREATE TABLE health (source TEXT PRIMARY KEY, until REAL NOT NULL, reports TEXT NOT NULL);
CREATE TABLE inbox (
  run INTEGER NOT NULL REFERENCES runs(seq),
  seq INTEGER NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  sent_at REAL NOT NULL,
  sender TEXT NOT NULL,
  key TEXT,
  reply INTEGER NOT NULL,
  context TEXT NOT NULL DEFAULT '',
  crc INTEGER NOT NULL,
  body TEXT NOT NULL
);
INSERT INTO "inbox" VALUES(5,1,'d843a326aa044f23bc8bbc8158f17eac','other',1767236400.0,'pid 17345','twice',0,'',3435653225,'{"not":"looked at"}');
INSERT INTO "inbox" VALUES(12,1,'a5d5d73d8ef242c385a1aa134e5336b5','question',1767236400.0,'pid 17345','k',0,'',732012985,'"why"');
CREATE TABLE keys (
  run INTEGER NOT NULL REFERENCES runs(seq),
  key TEXT NOT NULL,
  message TEXT NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY (run, key)
) WITHOUT ROWID;
INSERT INTO "keys" VALUES(5,'twice','d843a326aa044f23bc8bbc8158f17eac',1767236400.0);
INSERT INTO "keys" VALUES(11,'~id:25a7d06b62604d8c983624dd9bc007d2','25a7d06b62604d8c983624dd9bc007d2',1767236400.0);
INSERT INTO "keys" VALUES(11,'~id:5518d87d4c1749eeae05d2550ddfe059','5518d87d4c1749eeae05d2550ddfe059',1767236400.0);
INSERT INTO "keys" VALUES(11,'~id:8f1c586bb54c4812a06adf76445d3bc4','8f1c586bb54c4812a06adf76445d3bc4',1767236400.0);
INSERT INTO "keys" VALUES(12,'k','a5d5d73d8ef242c385a1aa134e5336b5',1767236400.0);
CREATE TABLE logs (
  run INTEGER NOT NULL REFERENCES runs(seq),
  seq INTEGER NOT NULL,
  at REAL NOT NULL,
  location TEXT NOT NULL,
  part TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  place INTEGER NOT NULL,
  level INTEGER NOT NULL,
  logger TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
INSERT INTO "meta" VALUES('min_writer','1');
INSERT INTO "meta" VALUES('retention','{}');
INSERT INTO "meta" VALUES('schema_version','1');
INSERT INTO "meta" VALUES('store_id','553ffe547cb25b234ad138fc803caa68');
CREATE TABLE replies (
  message TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs(seq),
  at REAL NOT NULL,
  body TEXT NOT NULL
);
CREATE TABLE run_io (
  run INTEGER PRIMARY KEY REFERENCES runs(seq),
  token TEXT NOT NULL DEFAULT '',
  input_hash TEXT NOT NULL,
  input_crc INTEGER NOT NULL,
  output_crc INTEGER NOT NULL DEFAULT 0,
  error_crc INTEGER NOT NULL DEFAULT 0,
  state_crc INTEGER NOT NULL DEFAULT 0,
  tried TEXT NOT NULL DEFAULT '',
  first_code TEXT NOT NULL DEFAULT '',
  failed_entry INTEGER,
  input TEXT NOT NULL,
  output TEXT,
  error TEXT,
  state TEXT,
  fork_crc INTEGER NOT NULL DEFAULT 0,
  fork TEXT
);
INSERT INTO "run_io" VALUES(1,'95389ee06d904cc599064fe03a0d5b3d','d872033d9d0a9134b539e37fad73181a',2153099970,1668818727,0,0,'','',NULL,'{"ending":"done"}','"booked room"',NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(2,'2c239f0298ad44849e952c5a3628c5b0','3ff9629d131caa0c4d4f36f057b751c3',3769347742,0,248557346,0,'','',3,'{"ending":"fail"}',NULL,'{"type":"flowkit.errors.CriticalError","message":"no such account","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 92, in doom\n    raise CriticalError(\"no such account\")\nflowkit.errors.CriticalError: no such account\n"}',NULL,0,NULL);
INSERT INTO "run_io" VALUES(3,'081b6a528f494426b97672407691271f','3ff9629d131caa0c4d4f36f057b751c3',3769347742,0,248557346,0,'','',3,'{"ending":"fail"}',NULL,'{"type":"flowkit.errors.CriticalError","message":"no such account","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 92, in doom\n    raise CriticalError(\"no such account\")\nflowkit.errors.CriticalError: no such account\n"}',NULL,0,NULL);
INSERT INTO "run_io" VALUES(4,'1ed5f1437cc3468e8b44881068f6d505','f3f9d9ee4c8ad8bab6f2929984f58932',2289716888,0,0,0,'','',NULL,'{"ending":"sleep"}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(5,'d535fa884aa0479981b7c550c07e80f3','835582f3ba379068f98af535e13f2627',974425448,0,0,0,'','',NULL,'{"ending":"wait"}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(6,'8756a72596874fabb3811b36aa607943','d872033d9d0a9134b539e37fad73181a',2153099970,0,0,0,'','',NULL,'{"ending":"done"}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(7,'a862df777c3e4ab586e4fe137887b83b','d872033d9d0a9134b539e37fad73181a',2153099970,0,0,0,'','',NULL,'{"ending":"done"}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(8,'05f6f6e51da948e79ca32af181b8e35e','d872033d9d0a9134b539e37fad73181a',2153099970,0,0,0,'','',NULL,'{"ending":"done"}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(9,'3c11cc948f5e4446a49be0399ec54e2a','835582f3ba379068f98af535e13f2627',974425448,0,0,0,'','',NULL,'{"ending":"wait"}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(10,'ca89093d43e949999ed176de25e21d14','44136fa355b3678a1146ad16f7e8649e',2745614147,0,0,0,'','',NULL,'{}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(11,'b59f5b049d734ff6b96d84ca80eee946','44136fa355b3678a1146ad16f7e8649e',2745614147,0,0,0,'','',NULL,'{}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(12,'1cf8b3309174411aa7975e3b6f1efebd','44136fa355b3678a1146ad16f7e8649e',2745614147,0,0,0,'','',NULL,'{}',NULL,NULL,NULL,0,NULL);
INSERT INTO "run_io" VALUES(13,'cbf3a149f8604c1299361729832c4457','44136fa355b3678a1146ad16f7e8649e',2745614147,0,3971897085,0,'
-2437b896ebbcb5cf
','-92d8f62c359632d5',NULL,'{}',NULL,'{"type":"flowkit.errors.HistoryDiverged","message":"run blocked is blocked: code and history do not fit in the workflow itself\n  history has   checkpoint `begin`    completed 2026-01-01 03:00:00Z, entry 1\n  the code has  step `flaky`    tests/torture/upgrade.py:156\nif `begin` left the code, put this in its old place:          removed(\"begin\", \"checkpoint\")\nif `flaky` is new and only for runs that come by later:       if version(\"add-flaky\", 2) >= 2:\nNothing was run, written or undone. The run goes on by itself when code that fits is loaded.","traceback":"Traceback (most recent call last):\n  File \"tests/torture/upgrade.py\", line 156, in other_code_now\n    return flaky()\n           ^^^^^^^\nflowkit.errors.HistoryDiverged: run blocked is blocked: code and history do not fit in the workflow itself\n  history has   checkpoint `begin`    completed 2026-01-01 03:00:00Z, entry 1\n  the code has  step `flaky`    tests/torture/upgrade.py:156\nif `begin` left the code, put this in its old place:          removed(\"begin\", \"checkpoint\")\nif `flaky` is new and only for runs that come by later:       if version(\"add-flaky\", 2) >= 2:\nNothing was run, written or undone. The run goes on by itself when code that fits is loaded.\n","attributes":{"run_id":"blocked","location":"begin","recorded_kind":"checkpoint","recorded_name":"begin","asked_kind":"step","asked_name":"flaky","source":"tests/torture/upgrade.py:156","lines":["removed(\"begin\", \"checkpoint\")","if version(\"add-flaky\", 2) >= 2:"]}}',NULL,0,NULL);
INSERT INTO "run_io" VALUES(14,'ba6383aac8ab4d04878b7952b6010e99','44136fa355b3678a1146ad16f7e8649e',2745614147,0,0,0,'','',NULL,'{}',NULL,NULL,NULL,0,NULL);
CREATE TABLE run_tags (
  tag TEXT NOT NULL,
  run INTEGER NOT NULL REFERENCES runs(seq),
  PRIMARY KEY (tag, run)
) WITHOUT ROWID;
INSERT INTO "run_tags" VALUES('cancelled',9);
INSERT INTO "run_tags" VALUES('done',1);
INSERT INTO "run_tags" VALUES('failed',2);
INSERT INTO "run_tags" VALUES('fixture',1);
INSERT INTO "run_tags" VALUES('fixture',2);
INSERT INTO "run_tags" VALUES('fixture',3);
INSERT INTO "run_tags" VALUES('fixture',4);
INSERT INTO "run_tags" VALUES('fixture',5);
INSERT INTO "run_tags" VALUES('fixture',6);
INSERT INTO "run_tags" VALUES('fixture',7);
INSERT INTO "run_tags" VALUES('fixture',8);
INSERT INTO "run_tags" VALUES('fixture',9);
INSERT INTO "run_tags" VALUES('paused',6);
INSERT INTO "run_tags" VALUES('pending',7);
INSERT INTO "run_tags" VALUES('replayed',8);
INSERT INTO "run_tags" VALUES('rolling-back',3);
INSERT INTO "run_tags" VALUES('sleeping',4);
INSERT INTO "run_tags" VALUES('waiting',5);
CREATE TABLE runs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  workflow TEXT NOT NULL,
  status TEXT NOT NULL,
  wake_at REAL,
  owner INTEGER REFERENCES workers(id),
  epoch INTEGER NOT NULL DEFAULT 0,
  head INTEGER NOT NULL DEFAULT 0,
  entries INTEGER NOT NULL DEFAULT 0,
  inbox INTEGER NOT NULL DEFAULT 0,
  seen INTEGER NOT NULL DEFAULT 0,
  owes INTEGER NOT NULL DEFAULT 0,
  waiting TEXT,
  request TEXT NOT NULL DEFAULT '',
  ending TEXT NOT NULL DEFAULT '',
  crashes INTEGER NOT NULL DEFAULT 0,
  passes INTEGER NOT NULL DEFAULT 0,
  replays INTEGER NOT NULL DEFAULT 0,
  current TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  attempts_max INTEGER NOT NULL DEFAULT 0,
  undone INTEGER NOT NULL DEFAULT 0,
  error_line TEXT,
  tags TEXT NOT NULL DEFAULT '[]',
  code TEXT NOT NULL DEFAULT '',
  context TEXT NOT NULL DEFAULT '',
  created_at REAL NOT NULL,
  start_at REAL NOT NULL,
  started_at REAL,
  updated_at REAL NOT NULL,
  finished_at REAL,
  expire_at REAL
);
INSERT INTO "runs" VALUES(1,'done','trip','completed',NULL,NULL,1,2,2,0,0,0,NULL,'','',0,1,0,'book',1,0,0,NULL,'["fixture", "done"]','-18d96a38ec780916','',1767225600.0,1767225600.0,1767225600.0,1767225600.0,1767225600.0,NULL);
INSERT INTO "runs" VALUES(2,'failed','trip','failed',NULL,NULL,4,10,3,0,0,1,NULL,'','failed',0,4,0,'book',4,4,0,'LookupError: the hotel does not answer','["fixture", "failed"]','-18d96a38ec780916','',1767225600.0,1767225600.0,1767225600.0,1767236400.0,1767236400.0,NULL);
INSERT INTO "runs" VALUES(3,'rolling-back','trip','rolling_back',1767225600.2,NULL,1,5,3,0,0,1,NULL,'','failed',0,1,0,'book',1,4,0,'LookupError: the hotel does not answer','["fixture", "rolling-back"]','-18d96a38ec780916','',1767225600.0,1767225600.0,1767225600.0,1767225600.0,NULL,NULL);
INSERT INTO "runs" VALUES(4,'sleeping','trip','sleeping',1767229200.0,NULL,1,2,3,0,0,1,NULL,'','',0,1,0,'sleep',0,0,0,NULL,'["fixture", "sleeping"]','-18d96a38ec780916','',1767225600.0,1767225600.0,1767225600.0,1767225600.0,NULL,NULL);
INSERT INTO "runs" VALUES(5,'waiting','trip','sleeping',1767830400.0,NULL,1,2,3,1,0,1,'
more
','','',0,1,0,'more',0,0,0,NULL,'["fixture", "waiting"]','-18d96a38ec780916','',1767225600.0,1767225600.0,1767225600.0,1767236400.0,NULL,NULL);
INSERT INTO "runs" VALUES(6,'paused','trip','paused',NULL,NULL,0,0,0,0,0,0,NULL,'','',0,0,0,NULL,0,0,0,NULL,'["fixture", "paused"]','','',1767225600.0,1767225600.0,NULL,1767236400.0,NULL,NULL);
INSERT INTO "runs" VALUES(7,'pending','trip','pending',1767225600.0,NULL,0,0,0,0,0,0,NULL,'','',0,0,0,NULL,0,0,0,NULL,'["fixture", "pending"]','','',1767225600.0,1767225600.0,NULL,1767225600.0,NULL,NULL);
INSERT INTO "runs" VALUES(8,'replayed','trip','pending',1767236400.0,NULL,2,3,2,0,0,0,NULL,'','',0,1,1,NULL,0,0,0,NULL,'["fixture", "replayed"]','-18d96a38ec780916','',1767225600.0,1767225600.0,1767225600.0,1767236400.0,NULL,NULL);
INSERT INTO "runs" VALUES(9,'cancelled','trip','cancelled',NULL,NULL,2,2,3,0,0,1,NULL,'','',0,1,0,'more',0,0,0,NULL,'["fixture", "cancelled"]','-18d96a38ec780916','',1767225600.0,1767225600.0,1767225600.0,1767236400.0,1767236400.0,NULL);
INSERT INTO "runs" VALUES(10,'retrying','patient','sleeping',1767236420.0,NULL,1,1,1,0,0,0,NULL,'','',0,1,0,'flaky',1,4,0,'TimeoutError: no answer','[]','-f301f1582a7f12cc','',1767236400.0,1767236400.0,1767236400.0,1767236400.0,NULL,NULL);
INSERT INTO "runs" VALUES(11,'rounds','rounds','sleeping',NULL,NULL,1,8,10,3,3,1,'
number
','','',0,1,0,'rounds/~2/number',0,0,0,NULL,'[]','-1663dfe2c9128dcb','',1767236400.0,1767236400.0,1767236400.0,1767236400.0,NULL,NULL);
INSERT INTO "runs" VALUES(12,'holding','holds','sleeping',1767240000.0,NULL,1,2,2,1,0,0,NULL,'','',0,1,0,'sleep',0,0,0,NULL,'[]','-d9c7eabd313fd4eb','',1767236400.0,1767236400.0,1767236400.0,1767236400.0,NULL,NULL);
INSERT INTO "runs" VALUES(13,'blocked','other','blocked',NULL,NULL,4,2,2,0,0,1,NULL,'','',1,2,0,'book',1,0,0,'HistoryDiverged: run blocked is blocked: code and history do not fit in the workflow itself','[]','-2437b896ebbcb5cf','',1767236400.0,1767236400.0,1767236400.0,1767236400.0,NULL,NULL);
INSERT INTO "runs" VALUES(14,'intent','careful','pending',1767236400.0,NULL,2,1,1,0,0,0,NULL,'','',1,1,0,'once',0,4,0,NULL,'[]','-ff1256cfc1a463f0','',1767236400.0,1767236400.0,1767236400.0,1767236400.0,NULL,NULL);
CREATE TABLE steering (
  op TEXT PRIMARY KEY,
  at REAL NOT NULL,
  run INTEGER NOT NULL,
  verb TEXT NOT NULL,
  who TEXT NOT NULL,
  result TEXT NOT NULL
);
INSERT INTO "steering" VALUES('e8aec418893949bdbf2b333ba92e855d',1767236400.0,8,'replay','pid 17345','pending');
INSERT INTO "steering" VALUES('2c6778e83a334f8cb789ba994a5ef816',1767236400.0,6,'pause','pid 17345','paused');
INSERT INTO "steering" VALUES('a476a99c5e3d4665924637c146043ee0',1767236400.0,9,'cancel','pid 17345','cancelled');
CREATE TABLE workers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  started_at REAL NOT NULL,
  seen_at REAL NOT NULL,
  expires_at REAL,
  info TEXT NOT NULL
);
INSERT INTO "workers" VALUES(1,'vm-17345','vm',17345,'','worker','dying',1767225600.0,1767225600.0,1767225615.0,'{}');
INSERT INTO "workers" VALUES(2,'vm-17345','vm',17345,'','worker','dying',1767236400.0,1767236400.0,1767236415.0,'{}');
INSERT INTO "workers" VALUES(3,'vm-17345','vm',17345,'','worker','live',1767236400.0,1767236400.0,1767236415.0,'{}');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX runs_status ON runs (status);
CREATE INDEX runs_workflow ON runs (workflow);
CREATE INDEX runs_workflow_status ON runs (workflow, status);
CREATE INDEX runs_due ON runs (workflow, wake_at) WHERE wake_at IS NOT NULL AND owner IS NULL;
CREATE INDEX runs_owned ON runs (owner, wake_at) WHERE owner IS NOT NULL;
CREATE INDEX runs_expire ON runs (expire_at) WHERE expire_at IS NOT NULL;
CREATE UNIQUE INDEX entries_seq ON entries (run, seq);
CREATE INDEX entries_open ON entries (run) WHERE settled_at IS NULL;
CREATE INDEX archive_seq ON archive (run, seq);
CREATE UNIQUE INDEX attempts_n ON attempts (run, entry, part, round, n);
CREATE UNIQUE INDEX inbox_seq ON inbox (run, seq);
CREATE INDEX keys_at ON keys (at) WHERE key >= '~id:' AND key < '~id;';
CREATE INDEX replies_at ON replies (at);
CREATE INDEX replies_run ON replies (run);
CREATE INDEX logs_location ON logs (run, location);
CREATE INDEX logs_warned ON logs (run) WHERE level >= 30;
CREATE INDEX steering_at ON steering (at);
CREATE INDEX steering_run ON steering (run);
CREATE INDEX bulks_open ON bulks (seq) WHERE finished_at IS NULL;
CREATE INDEX bulks_finished ON bulks (finished_at) WHERE finished_at IS NOT NULL;
CREATE VIEW runs_view AS
SELECT r.seq, r.id, r.workflow, r.status, r.current, r.attempts, r.error_line, r.tags, strftime('%Y-%m-%d %H:%M:%f', r.created_at, 'unixepoch') AS created_at, strftime('%Y-%m-%d %H:%M:%f', r.started_at, 'unixepoch') AS started_at, strftime('%Y-%m-%d %H:%M:%f', r.updated_at, 'unixepoch') AS updated_at, strftime('%Y-%m-%d %H:%M:%f', r.finished_at, 'unixepoch') AS finished_at, strftime('%Y-%m-%d %H:%M:%f', r.wake_at, 'unixepoch') AS wake_at, r.owner, r.waiting,
       r.crashes, r.passes, i.input, i.output, i.error
FROM runs r LEFT JOIN run_io i ON i.run = r.seq;
CREATE VIEW history_view AS
SELECT r.id AS run_id, e.seq, e.parent, e.location, e.kind, e.status, e.attempts, strftime('%Y-%m-%d %H:%M:%f', e.created_at, 'unixepoch') AS created_at, strftime('%Y-%m-%d %H:%M:%f', e.settled_at, 'unixepoch') AS settled_at, strftime('%Y-%m-%d %H:%M:%f', e.due_at, 'unixepoch') AS due_at,
       round(e.settled_at - coalesce(e.started_at, e.created_at), 3) AS seconds, e.rollback, e.source,
       e.output, e.error, e.args, e.by_hand, e.run
FROM entries e JOIN runs r ON r.seq = e.run;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('workers',3);
INSERT INTO "sqlite_sequence" VALUES('runs',14);
COMMIT;
