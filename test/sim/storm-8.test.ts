import { stormSuite } from './storm-suite.ts';

stormSuite(7);
