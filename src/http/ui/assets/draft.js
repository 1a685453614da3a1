export const restoreDraft = () => {};
export const drawBar = () => {};
