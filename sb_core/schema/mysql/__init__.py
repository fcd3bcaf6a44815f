"""The MySQL and MariaDB store's schema: numbered SQL files, applied in order by `sb_core.adapters.mysql_schema`."""
