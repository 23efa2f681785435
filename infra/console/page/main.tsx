import 'uplot/dist/uPlot.min.css';
import './style.css';
import { render } from 'preact';
import { Page } from './page.tsx';

render(<Page />, document.getElementById('console')!);
