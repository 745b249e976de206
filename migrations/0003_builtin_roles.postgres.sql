-- The built-in roles have the numbers 1 to 4 in every installation and belong
-- to no tenant; what they hold is in the program. A tenant's own begin at 5.
INSERT INTO roles (id, tenant_id, code, name, permissions, remark, created_at, updated_at, deleted_at, version) VALUES
    (1, 0, 'ADMIN', '管理员', '[]', '', 0, 0, 0, 1),
    (2, 0, 'OPERATOR', '运营', '[]', '', 0, 0, 0, 1),
    (3, 0, 'FINANCE', '财务', '[]', '', 0, 0, 0, 1),
    (4, 0, 'VIEWER', '只读', '[]', '', 0, 0, 0, 1);
ALTER TABLE roles ALTER COLUMN id RESTART WITH 5;
