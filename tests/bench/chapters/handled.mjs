export const title='x'; export const measure=()=>({}); export const show=()=>''; export const goals=()=>[];
