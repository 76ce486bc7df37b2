import { stormSuite } from './storm-suite.ts';

stormSuite(5);
