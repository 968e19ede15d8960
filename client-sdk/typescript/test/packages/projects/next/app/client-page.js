'use client';

import { useEffect, useState } from 'react';
import { Client } from '@pitturu/client';

export function Page({ role }) {
  const [state, setState] = useState('new');
  useEffect(() => {
    const client = new Client({ url: 'ws://127.0.0.1:7350' });
    client.on('connection', ({ state: now }) => setState(now));
    void client.connect();
    return () => client.close();
  }, []);
  return (
    <p>
      role: {role}, state: {state}
    </p>
  );
}
